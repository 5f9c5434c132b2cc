// Runs first: counts errors and refused loads, so that a test (and a careful reader) can see that the page is clean.
(function () {
  "use strict";
  var root = document.documentElement;
  root.dataset.errors = "0";
  root.dataset.plots = "0";
  root.dataset.viewer = "none";
  function count(what) {
    root.dataset.errors = String(Number(root.dataset.errors) + 1);
    root.dataset.lastError = String(what).slice(0, 200);
  }
  addEventListener("error", function (e) { count(e.message); });
  addEventListener("unhandledrejection", function (e) { count(e.reason); });
  document.addEventListener("securitypolicyviolation", function (e) { count("policy: " + e.violatedDirective + " " + e.blockedURI); });
})();
