// Contour meshes of a quantised map: one vertex per cell that the level crosses (naive surface nets, Gibson 1998).
(function () {
  "use strict";
  var NOTHING = -128;

  // volume: {codes: Int8Array, shape, to_xyz}; level in codes, negative for density below it; ball: {x, y, z, r} or null.
  // Returns {points: Float32Array (3 per vertex, Å), edges: Uint32Array (2 per line)}.
  window.consilMesh = function (volume, level, ball) {
    var nx = volume.shape[0], ny = volume.shape[1], nz = volume.shape[2], codes = volume.codes, m = volume.to_xyz;
    var sx = ny * nz, sy = nz, sign = level < 0 ? -1 : 1, cut = Math.abs(level);
    var corners = [0, sx, sy, sx + sy, 1, sx + 1, sy + 1, sx + sy + 1]; // bit 0: x, bit 1: y, bit 2: z
    var vertex = new Int32Array(nx * ny * nz).fill(-1);
    var points = [], edges = [], f = new Float64Array(8), count = 0;

    function mixed(mask, face) { var part = mask & face; return part !== 0 && part !== face; }

    for (var i = 0; i < nx - 1; i++) {
      for (var j = 0; j < ny - 1; j++) {
        for (var k = 0; k < nz - 1; k++) {
          var cell = i * sx + j * sy + k, mask = 0, c, v;
          for (c = 0; c < 8; c++) {
            v = codes[cell + corners[c]];
            if (v === NOTHING) break;
            f[c] = sign * v - cut;
            if (f[c] > 0) mask |= 1 << c;
          }
          if (c < 8 || mask === 0 || mask === 255) continue;
          var x = 0, y = 0, z = 0, n = 0;
          for (c = 0; c < 8; c++) {
            for (var bit = 1; bit < 8; bit <<= 1) {
              if (c & bit) continue;
              var d = c | bit;
              if (f[c] > 0 === f[d] > 0) continue;
              var t = f[c] / (f[c] - f[d]);
              x += (c & 1) + (bit === 1 ? t : 0);
              y += ((c >> 1) & 1) + (bit === 2 ? t : 0);
              z += ((c >> 2) & 1) + (bit === 4 ? t : 0);
              n++;
            }
          }
          x = i + x / n; y = j + y / n; z = k + z / n;
          var px = m[0][0] * x + m[0][1] * y + m[0][2] * z + m[0][3];
          var py = m[1][0] * x + m[1][1] * y + m[1][2] * z + m[1][3];
          var pz = m[2][0] * x + m[2][1] * y + m[2][2] * z + m[2][3];
          if (ball) {
            var ax = px - ball.x, ay = py - ball.y, az = pz - ball.z;
            if (ax * ax + ay * ay + az * az > ball.r * ball.r) continue;
          }
          points.push(px, py, pz);
          vertex[cell] = count;
          // neighbouring cells are joined where the level crosses the face between them (x, y, z faces at the low side)
          if (i && mixed(mask, 0x55) && vertex[cell - sx] >= 0) edges.push(count, vertex[cell - sx]);
          if (j && mixed(mask, 0x33) && vertex[cell - sy] >= 0) edges.push(count, vertex[cell - sy]);
          if (k && mixed(mask, 0x0f) && vertex[cell - 1] >= 0) edges.push(count, vertex[cell - 1]);
          count++;
        }
      }
    }
    return { points: Float32Array.from(points), edges: Uint32Array.from(edges) };
  };
})();
