"""The takes of one prompt: read at the deciding state, ranked, the best of them finished; and the files on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save
from torch import Tensor

from probes.support.files import write_whole
from probes.support.tensors import read_safetensors
from tracer.clips import MEASURED
from tracer.long_work import Report
from tracer.picking.takes import At, TakeReader, read_takes, song_readings
from tracer.picking.wants import Goal, distance
from tracer.prompts import Prompt
from tracer.session import Session
from tracer.steering.tables import Row, read_csv, write_csv

if TYPE_CHECKING:
    from accelerate import PartialState


@dataclass
class Work:
    """What a process does for each prompt, and the files that it leaves."""

    session: Session
    workers: PartialState
    folder: Path
    goals: Sequence[Goal]
    at: At
    seeds: int
    keep: int
    together: int
    """Takes of a batch that is dealt out; the same for all processes, whatever one has halved its batches to."""

    def pick_prompt(self, prompt: Prompt, report: Report, done: int, total: int) -> None:
        """Read the takes of a prompt, and finish the best; nothing where that was done before.

        The processes wait for each other where one needs what the others found.
        """
        finished = self.kept_file(prompt).exists()
        self.workers.wait_for_everyone()
        if finished:
            if self.workers.is_main_process:
                self.tidy(prompt)
            return
        for batch in self.my_batches(prompt):
            report("takes", done + batch[0], total)
            self.read_batch(prompt, batch)
        self.workers.wait_for_everyone()
        chosen = [int(row["seed"]) for row in by_distance(self.rows(prompt))[: self.keep]]
        ranks = {seed: rank for rank, seed in enumerate(chosen, 1)}
        mine = chosen[self.workers.process_index :: self.workers.num_processes]
        for _ in self.session.batch_size.run(
            mine, lambda part: self.finish(prompt, {seed: ranks[seed] for seed in part})
        ):
            pass
        self.workers.wait_for_everyone()
        report("takes", done + self.seeds, total)
        if self.workers.is_main_process:
            self.close(prompt, chosen)

    def my_batches(self, prompt: Prompt) -> list[list[int]]:
        """The seeds of the batches that are dealt to this process, without those that were read before."""
        read = {int(row["seed"]) for row in self.rows(prompt)}
        self.workers.wait_for_everyone()  # nobody writes rows before all know what is there
        starts = range(0, self.seeds, self.together)[self.workers.process_index :: self.workers.num_processes]
        batches = (range(start, min(start + self.together, self.seeds)) for start in starts)
        unread = ([seed for seed in batch if seed not in read] for batch in batches)
        return [batch for batch in unread if batch]

    def read_batch(self, prompt: Prompt, batch: Sequence[int]) -> None:
        """Read some takes at the deciding state, and write what they read as; the states of the best are kept."""
        clips = [replace(prompt, seed=seed) for seed in batch]
        rows: list[Row] = []
        states: dict[int, Tensor] = {}
        for count, reader in self.session.batch_size.run(clips, lambda part: read_takes(self.session, part, self.at)):
            for place, seed in enumerate(batch[len(rows) : len(rows) + count]):
                states[seed] = reader.states[place].cpu()
                rows.append(self.row(prompt, seed, reader, place))
        if self.session.generator.goes_on:
            best = [int(row["seed"]) for row in by_distance(rows)[: self.keep]]
            write_whole(self.state_file(prompt, batch), save({str(seed): states[seed].contiguous() for seed in best}))
        write_csv(self.take_file(prompt, batch), rows)

    def row(self, prompt: Prompt, seed: int, reader: TakeReader, place: int) -> Row:
        """The row of a take."""
        reading = {name: float(values[place]) for name, values in reader.readings.items()}
        return {
            "prompt": prompt.index, "id": prompt.id, "seed": seed, "state": reader.index, "t": reader.t,
            **reading, "distance": distance(reading, self.goals), "guidance_difference": float(reader.gap[place]),
            "evaluations": min(reader.index + 1, reader.last), "full": reader.last,
        }  # fmt: skip

    def finish(self, prompt: Prompt, ranks: Mapping[int, int]) -> None:
        """Generate some takes to the end, measure and write them; nothing where that was done before.

        Args:
            prompt: Of which they are takes.
            ranks: Seed of each take, and its rank.
        """
        if all(self.end_file(prompt, seed).exists() for seed in ranks):
            return
        session, clips = self.session, [replace(prompt, seed=seed) for seed in ranks]
        states, index, last = self.states_of(prompt, list(ranks))
        if states is None:
            latents, cost = session.generate(clips), last
        else:
            latents, cost = session.go_on(clips, states, index), last - index
        readings = song_readings(session.readout, latents, session.music(latents.shape[1]))
        audio, tracks = session.listen(clips, latents, MEASURED)
        for place, (seed, rank) in enumerate(ranks.items()):
            session.write_clip(self.folder / "audio" / f"{prompt.index:05d}-{rank}-seed{seed}.wav", audio[place])
            finished = {f"finished_{name}": float(values[place]) for name, values in readings.items()}
            measured = {f"measured_{name}": value for name, value in tracks[place].summary().items()}
            row = {"prompt": prompt.index, "rank": rank, "seed": seed, **finished, **measured, "evaluations": cost}
            write_csv(self.end_file(prompt, seed), [row])

    def states_of(self, prompt: Prompt, seeds: Sequence[int]) -> tuple[Tensor | None, int, int]:
        """States [B, F, C] at which takes were left, their index and the last one's; None where they are not kept."""
        row = self.rows(prompt)[0]
        found: dict[int, Tensor] = {}
        for path in self.folder.glob(f"takes/{prompt.index:05d}-*.safetensors"):
            found |= {int(name): state for name, state in read_safetensors(path).items() if int(name) in seeds}
        states = torch.stack([found[seed] for seed in seeds]) if set(seeds) <= found.keys() else None
        return states, int(row["state"]), int(row["full"])

    def rows(self, prompt: Prompt) -> list[Row]:
        """The rows of the takes of a prompt that were read, in the order of their seeds."""
        paths = sorted(self.folder.glob(f"takes/{prompt.index:05d}-*.csv"))
        return sorted(
            (row for path in paths for row in read_csv(path, "seed", "distance")), key=lambda row: row["seed"]
        )

    def ranked(self, prompt: Prompt) -> list[Row]:
        """The rows of a prompt's takes in the order of their seeds, with rank, reason and CFG-Rejection's rank."""
        rows = self.rows(prompt)
        for rank, row in enumerate(by_distance(rows), 1):
            row["rank"], row["kept"] = rank, rank <= self.keep
            row["reason"] = reason(row, self.goals)
        seen = [row for row in rows if "guidance_difference" in row and row["guidance_difference"] > 0]
        for rank, row in enumerate(sorted(seen, key=lambda row: (-row["guidance_difference"], row["seed"])), 1):
            row["rank_by_guidance"] = rank
        return rows

    def close(self, prompt: Prompt, chosen: Sequence[int]) -> None:
        """Put the kept takes of a prompt into one table, and remove what was only needed on the way."""
        write_csv(
            self.kept_file(prompt),
            [row for seed in chosen for row in read_csv(self.end_file(prompt, seed), "seed", "evaluations")],
        )
        self.tidy(prompt)

    def tidy(self, prompt: Prompt) -> None:
        """Remove the states and rows of a finished prompt that were only needed on the way."""
        for path in (
            *self.folder.glob(f"takes/{prompt.index:05d}-*.safetensors"),
            *self.folder.glob(f"kept/{prompt.index:05d}-*.csv"),
        ):
            path.unlink()

    def take_file(self, prompt: Prompt, batch: Sequence[int]) -> Path:
        """Table of the takes of a batch."""
        return self.folder / "takes" / f"{prompt.index:05d}-{batch[0]:05d}.csv"

    def state_file(self, prompt: Prompt, batch: Sequence[int]) -> Path:
        """States of the best takes of a batch, until the prompt is finished."""
        return self.take_file(prompt, batch).with_suffix(".safetensors")

    def end_file(self, prompt: Prompt, seed: int) -> Path:
        """Row of a finished take, until the prompt is finished."""
        return self.folder / "kept" / f"{prompt.index:05d}-{seed:05d}.csv"

    def kept_file(self, prompt: Prompt) -> Path:
        """Table of the kept takes of a prompt; where it is there, the prompt is finished."""
        return self.folder / "kept" / f"{prompt.index:05d}.csv"


def by_distance(rows: Sequence[Row]) -> list[Row]:
    """Rows of takes, the nearest first; the lower seed first among equals."""
    return sorted(rows, key=lambda row: (row["distance"], row["seed"]))


def reason(row: Row, goals: Sequence[Goal]) -> str:
    """Why a take has its rank: where it lies of every goal."""
    return ", ".join(goal.told(float(row.get(goal.attribute, "nan"))) for goal in goals)
