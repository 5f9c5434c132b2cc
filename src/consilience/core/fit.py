"""The one loop that runs every job: stages over blocks, balanced terms, roll-back, early stop, checkpoints, callbacks.

Work data are seen by the solvers, steer data by the decisions made here, free data by nobody: `Prepared.free` is copied
to the history and never read, and not shown to a controller.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from consilience.core.balance import Balance, Policy, balance
from consilience.core.checkpoint import load_checkpoint, save_checkpoint
from consilience.core.epochs import Epochs
from consilience.core.errors import InputError, RunError
from consilience.core.lbfgs import LBFGS
from consilience.core.objective import Objective
from consilience.core.params import Model
from consilience.core.precondition import curvatures, factorised, metrics
from consilience.core.stages import Protocol, Stage

Carry = dict[str, np.ndarray]
History = list[dict[str, Any]]


@dataclass(frozen=True)
class Prepared:
    """A model with everything that depends on where it stands: terms, observations, and its scores.

    `steer` (lower is better; nats per observation by custom) and `scores` may guide decisions; `free` is for display.
    `carry` is what the next preparation starts from (it is part of the checkpoint, so all of it must be here). Scores
    are numbers and texts, in dictionaries and lists if need be.
    """

    model: Model
    terms: Mapping[str, Any]
    obs: Mapping[str, Any]
    carry: Carry = field(default_factory=dict)
    steer: float | None = None
    scores: dict[str, Any] = field(default_factory=dict)
    free: dict[str, Any] = field(default_factory=dict)
    finished: bool = False  # the rest of this phase is not wanted


Prepare = Callable[[Model, Carry, Stage | None], Prepared]
Controller = Callable[[History, Stage], Policy]


@dataclass(frozen=True)
class Fit:
    """Result: the last prepared state, one record per stage, and how it ended ("ok" or "stopped")."""

    state: Prepared
    history: History
    status: str

    @property
    def model(self) -> Model:
        return self.state.model


def _unchanged(terms: Mapping[str, Any], obs: Mapping[str, Any]) -> Prepare:
    return lambda model, carry, stage: Prepared(model, terms, obs, carry)


def fit(
    model: Model,
    terms: Mapping[str, Any],
    protocol: Protocol,
    *,
    obs: Mapping[str, Any] | None = None,
    prepare: Prepare | None = None,
    controller: Controller | None = None,
    callbacks: Iterable[Callable[[dict[str, Any], Prepared], None]] = (),
    checkpoint: Path | None = None,
    checkpoint_every: float = 0.0,
    resume: bool = False,
) -> Fit:
    """Run a protocol.

    `prepare(model, carry, stage)` rebuilds what depends on the model (contact lists, scales, error models) before each
    stage and scores it; by default the given terms stand. `controller(history, stage)` gives the weight policy of a
    stage from what has happened, free scores left out (default: the stage's own). `callbacks` get each record. With
    `checkpoint`, the state is on disk after every stage (or after `checkpoint_every` seconds and at the end), and
    `resume` continues bit-identically.

    Raises RunError for a gradient that is not finite, InputError for a checkpoint that is damaged or of another run.
    """
    prepare = prepare or _unchanged(terms, obs or {})
    run = _Run(model, protocol, prepare, controller or (lambda history, stage: stage.weights), tuple(callbacks))
    if resume and checkpoint is not None and checkpoint.exists():
        run.restore(checkpoint)
    else:
        run.start()
        run.save(checkpoint)
    saved = time.monotonic()
    while run.next < len(protocol):
        run.one_stage()
        if time.monotonic() - saved >= checkpoint_every or run.next >= len(protocol):
            run.save(checkpoint)
            saved = time.monotonic()
    return Fit(run.current, run.history, "ok")


@dataclass(frozen=True)
class _Point:
    """What a preparation started from: enough to repeat it exactly."""

    model: Model
    carry: Carry
    stage: int


def _outline(protocol: Protocol) -> list[list[Any]]:
    return [[stage.phase, *stage.active, stage.steps] for stage in protocol]


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from a checkpoint, so that a controller cannot tell a resumed run from an uninterrupted one."""
    return json.loads(json.dumps(record, default=float))


class _Run:
    """The loop's state; `point` and `best` are inputs of preparations: a resumed run repeats them bit by bit."""

    def __init__(self, model, protocol, prepare, controller, callbacks):
        self.protocol, self.prepare, self.controller, self.callbacks = protocol, prepare, controller, callbacks
        self.history: History = []
        self.next = 0
        self.point = self.best = _Point(model, {}, -1)
        self.best_steer = np.inf
        self.current: Prepared = None  # type: ignore[assignment]

    def _prepared(self, point: _Point) -> Prepared:
        stage = self.protocol[point.stage] if point.stage >= 0 else None
        return self.prepare(point.model, point.carry, stage)

    def start(self) -> None:
        self.current = self._prepared(self.point)
        self.best_steer = self.current.steer if self.current.steer is not None else np.inf
        self._record({"stage": -1, "phase": "start", "active": [], "weights": {}, "accepted": True, "evaluations": 0})

    def _record(self, record: dict[str, Any], seen: Prepared | None = None) -> None:
        seen = seen or self.current
        record = _plain({**record, "steer": seen.steer, "scores": seen.scores, "free": seen.free})
        self.history.append(record)
        for callback in self.callbacks:
            callback(record, seen)

    def one_stage(self) -> None:
        stage = self.protocol[self.next]
        before = self.current
        entered = self.next == 0 or self.protocol[self.next - 1].phase != stage.phase
        if entered and self.next > 0 and self.best.stage != self.point.stage:
            self.point = self.best  # a new phase starts from the best state of the last one
            before = self.current = self._prepared(self.point)
        if entered and before.steer is not None and self.next > 0:
            # what this phase sees or holds may differ from what the last one did: prepare for it
            self.point = replace(self.point, stage=self.next)
            before = self.current = self._prepared(self.point)
        candidate, carry, record = self._solve(before, stage)
        point = _Point(candidate, {**before.carry, **carry}, self.next)
        after = self._prepared(point)
        accepted = True
        if stage.decide and after.steer is not None and before.steer is not None:
            accepted = bool(np.isfinite(after.steer)) and not after.steer > before.steer + stage.tolerance
        if accepted:
            self.point, self.current = point, after
        index = self.next
        self.next += 1
        better = stage.decide and accepted and after.steer is not None and after.steer < self.best_steer
        if better or not stage.decide or after.steer is None:
            self.best = self.point
            self.best_steer = after.steer if after.steer is not None else np.inf
        self._record({"stage": index, "accepted": accepted, "best": bool(better), **record}, after)
        if after.finished or (stage.decide and self._stale(stage)):
            while self.next < len(self.protocol) and self.protocol[self.next].phase == stage.phase:
                self.next += 1
        if self.next >= len(self.protocol) and self.best.stage != self.point.stage:
            self.point = self.best
            self.current = self._prepared(self.point)

    def _stale(self, stage: Stage) -> bool:
        """No better steer score for `patience` stages of this phase."""
        flags = [h.get("best", False) for h in self.history if h.get("phase") == stage.phase]
        return len(flags) >= stage.patience and not any(flags[-stage.patience :])

    def _solve(self, state: Prepared, stage: Stage) -> tuple[Model, Carry, dict[str, Any]]:
        """The model that the stage's solver finds, what it leaves for its next stage, and the record."""
        if isinstance(stage.solver, Epochs):
            return self._train(state, stage, stage.solver)
        reading = {n: t for n, t in state.terms.items() if t.reads & set(stage.active)}
        chosen = {n: t for n, t in reading.items() if stage.terms is None or n in stage.terms}
        objective = Objective(chosen, state.obs, {})
        model = state.model
        policy = self.controller([{k: v for k, v in h.items() if k != "free"} for h in self.history], stage)
        found = curvatures(chosen, state.obs, model, stage.active)
        gradients = objective.term_gradients(model, stage.active)
        weighed: Balance = balance(objective, model, stage.active, policy, metrics(found, policy.reference), gradients)
        left_out = {
            **{n: "reads no active block" for n in state.terms if n not in reading},
            **{n: "not in this stage" for n in reading if n not in chosen},
            **weighed.left_out,
        }
        objective = objective.reweighted(weighed.weights)
        solver = stage.solver
        if isinstance(solver, LBFGS) and found:
            solver = replace(solver, precondition={**factorised(found, weighed.weights), **solver.precondition})
        function = objective.function(model)
        solved = solver.init(function, model.raw(stage.active))
        first, steps = float(solved.value), 0
        while steps < stage.steps and not bool(np.all(solved.done)):
            solved = solver.step(function, solved)
            steps += 1
            first = first if np.isfinite(first) else float(solved.value)  # some solvers start without a value
        record = {
            "phase": stage.phase,
            "active": list(stage.active),
            "weights": weighed.weights,
            "gradient_norms": weighed.gradient_norms,
            "left_out": left_out,
            "value_before": first,
            "value_after": float(solved.value),
            "steps": steps,
            "evaluations": function.calls + len(chosen),
        }
        return model.with_raw(jax.tree.map(np.asarray, solved.raw)), {}, record

    def _train(self, state: Prepared, stage: Stage, solver: Epochs) -> tuple[Model, Carry, dict[str, Any]]:
        """One epoch; the terms stand with the weights of the policy that are fixed, or 1."""
        chosen = {n: t for n, t in state.terms.items() if t.reads & set(stage.active)}
        weights = {n: float(stage.weights.fixed.get(n, 1.0)) for n in chosen}
        objective = Objective(chosen, {n: state.obs[n] for n in chosen}, weights)
        raw, carry, value = solver.run(objective, state.model, stage.active, state.carry, self.next)
        if not np.isfinite(value):
            raise RunError(f"the training loss is not finite in epoch {self.next + 1}: lower the learning rate")
        record = {"phase": stage.phase, "active": list(stage.active), "weights": weights, "value_after": value}
        return state.model.with_raw(raw), carry, record

    def save(self, path: Path | None) -> None:
        if path is None:
            return
        arrays: dict[str, np.ndarray] = {}
        for label, point in (("point", self.point), ("best", self.best)):
            for name in point.model.names:
                for i, leaf in enumerate(jax.tree.leaves(point.model.blocks[name].raw)):
                    arrays[f"{label}/model/{name}/{i}"] = np.asarray(leaf)
            for name, value in point.carry.items():
                arrays[f"{label}/carry/{name}"] = np.asarray(value)
        header = {
            "protocol": _outline(self.protocol),
            "next": self.next,
            "stages": {"point": self.point.stage, "best": self.best.stage},
            "best_steer": None if np.isinf(self.best_steer) else self.best_steer,
            "history": self.history,
        }
        save_checkpoint(path, arrays, header)

    def _recognise(self, path: Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
        """Raises InputError where the checkpoint does not fit the model and the protocol of this run."""
        expected = {
            f"{label}/model/{name}/{i}": np.shape(leaf)
            for label, point in (("point", self.point), ("best", self.best))
            for name in point.model.names
            for i, leaf in enumerate(jax.tree.leaves(point.model.blocks[name].raw))
        }
        found = {name: a.shape for name, a in arrays.items() if "/model/" in name}
        if found != expected or header.get("protocol") != _outline(self.protocol):
            fix = "resume with the inputs and options of that run, or start anew with --overwrite"
            raise InputError("the checkpoint is of another run", str(path), fix=fix)

    def restore(self, path: Path) -> None:
        arrays, header = load_checkpoint(path)
        self._recognise(path, arrays, header)

        def point(label: str, like: Model) -> _Point:
            raw = {}
            for name in like.names:
                leaves, tree = jax.tree.flatten(like.blocks[name].raw)
                raw[name] = jax.tree.unflatten(tree, [arrays[f"{label}/model/{name}/{i}"] for i in range(len(leaves))])
            prefix = f"{label}/carry/"
            carry = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            return _Point(like.with_raw(raw), carry, header["stages"][label])

        like = self.point.model
        self.point, self.best = point("point", like), point("best", like)
        self.next, self.history = header["next"], header["history"]
        self.best_steer = np.inf if header["best_steer"] is None else header["best_steer"]
        self.current = self._prepared(self.point)
        for record in self.history:
            for callback in self.callbacks:
                callback({**record, "replayed": True}, self.current)
