"""`trace edit`: the same edits on a recording, and the paper's Figure 2 (arXiv 2510.23802) of what they did."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from probes.errors import InputError
from probes.support.audio_files import read_audio, resample
from probes.support.devices import in_float32, pick_device
from probes.support.paths import result_folder
from tracer.clips import Tracks, distortion, measure_clip, tracker_identity, write_clip
from tracer.options import check_pitch_tracker
from tracer.session import open_readout
from tracer.steering.damage import tell_damage
from tracer.steering.edits import check_measured, displacement, identity_of
from tracer.steering.results import CODEC, EditResult
from tracer.steering.song_time import Song, SongDisplacement, inside_and_outside, song_of, weights_of, windows_of
from tracer.steering.spec import EditSpec, read_doses, read_edits, refuse_two_doses, sampler_options
from tracer.steering.tables import open_run, write_csv

if TYPE_CHECKING:
    from probes.readout import Readout
    from probes.spaces import Space

EDITED = "edited"
"""Version in which every edit has its own dose."""


@in_float32
def edit_audio(
    audio: str | Path,
    edits: str | EditSpec | Sequence[str | EditSpec],
    *,
    alphas: str | float | Sequence[float] | None = None,
    space: "str | Space" = "mini",
    weights: str | None = None,
    readout: "str | Path | Readout | None" = None,
    start: float | None = None,
    stop: float | None = None,
    hold: str | Sequence[str] = (),
    device: str = "auto",
    pitch_tracker: str = "full",
    options: Mapping[str, Any] | None = None,
    structure: str | Path | None = None,
    out: str | Path | None = None,
) -> EditResult:
    """Encode a recording, edit its latent frames, decode, and measure what changed.

    Args:
        audio: file in any format that libsndfile reads.
        edits: one edit, or several, all applied together, one after the other, without what belongs to a sampler: a
            window of flow time, a site, branch or schedule.
        alphas: one dose, or several, each a version of its own, where no edit names one. None for one version with
            every edit at its own dose, or, where none names one, for the `usual_doses` of the first edit. Beside
            them stands alpha 0: what the codec alone does.
        space: latent space, by name or loaded; weights and options as in `probes.spaces.load_space`.
        readout: folder, hub id or `Readout` of that space; None is the bundled one.
        start, stop: seconds between which frames are edited; None is the beginning and the end. What changed is then
            measured inside and outside, as it is with `during=`.
        hold: attributes to hold in every edit that does not aim at them.
        pitch_tracker: full or tiny, sizes of CREPE, or swift-f0.
        structure: file that names sections of the recording, for `during=` in edits.
        out: folder for original.wav, alpha-*.wav and edited.wav (the input's sample rate and channels), curves.csv (per
            frame), summary.csv, edit.png and edit.json; None is runs/edit-NAME.

    Raises:
        InputError: no such file, unknown space, attribute or target, an edit with what belongs to a sampler, or seconds
            outside the recording.
    """
    several = [edits] if isinstance(edits, str | EditSpec) else edits
    refuse_sampler_options(several)
    specs = [spec.holding(hold) for spec in read_edits(several)]
    if not specs:
        raise InputError("give at least one edit, such as loudness=2")
    dosed = dosed_edits(specs, alphas)
    name = "".join(letter for letter in Path(audio).stem[:100] if letter.isprintable())
    folder = result_folder(out if out is not None else Path("runs") / f"edit-{name}")
    samples, sample_rate = read_audio(audio)
    seconds = samples.shape[1] / sample_rate
    first, last = (0.0 if start is None else start), (seconds if stop is None else min(stop, seconds))
    if not 0 <= first < last or first >= seconds:
        raise InputError(f"--from and --to must lie inside the recording, 0 <= from < to <= {seconds:.2f} seconds")
    check_pitch_tracker(pitch_tracker)
    place = pick_device(device)
    codec = open_space(space, weights, place, options)
    reader = open_readout(readout, codec.spaces, "the recording is encoded in", place)
    song = song_of(specs, codec.frame_rate, seconds, structure)
    for spec in specs:
        check_measured(spec, reader, song=song)
    if not any(begin < last and end > first for spec in specs for begin, end in windows_of(spec, song)):
        raise InputError("no edit acts between --from and --to: its during= lies elsewhere")
    about = {
        "audio": hashlib.blake2b(samples.tobytes(), digest_size=8).hexdigest(), "space": codec.describe(),
        "readout": reader.fingerprint(), "edits": [str(spec) for spec in specs],
        "alphas": [own[0].alpha for name, own in dosed.items() if name not in (CODEC, EDITED)], "from": first,
        "to": last,
    } | tracker_identity(pitch_tracker) | identity_of(specs, song)  # fmt: skip
    open_run(folder, "edit.json", about)

    latents = codec.encode(as_items(samples, codec), sample_rate)
    window = (np.floor(first * codec.frame_rate), np.ceil(last * codec.frame_rate))
    versions = {"original": samples}
    write_clip(folder / "original.wav", samples, sample_rate)
    for name, own in dosed.items():
        edited = edit_latents(latents, own, reader, (int(window[0]), int(window[1])), song)
        versions[name] = as_recording(codec.decode(edited), codec, samples, sample_rate)
        write_clip(folder / f"{name.replace(' ', '-')}.wav", versions[name], sample_rate)
    hop = round(sample_rate / codec.frame_rate)
    frames = max(1, samples.shape[1] // hop)
    tracks = {
        name: measure_clip(version, sample_rate, frames, hop, pitch_tracker=pitch_tracker, device=place)
        for name, version in versions.items()
    }
    measured = replace(song, frame_rate=sample_rate / hop)
    acting = np.max([weights_of(spec, measured, frames) for spec in specs], axis=0)
    latent_frames = (np.arange(frames) + 0.5) * hop / sample_rate * codec.frame_rate
    acting[(latent_frames < window[0]) | (latent_frames >= window[1])] = 0.0
    if acting.all() and not all(spec.during for spec in specs):
        acting[:] = 0.0  # nothing lies outside
    summary = write_tables(folder, versions, tracks, sample_rate, hop / sample_rate, acting)
    label = " and ".join(str(spec) if EDITED in dosed else spec.label for spec in specs)
    doses = {name: {"alpha": own[0].alpha} for name, own in dosed.items() if name != EDITED}
    tell_damage([{"edit": label} | doses.get(row["version"], {}) | row for row in summary[2:]])
    from tracer.figures.edit import draw_edit

    draw_edit(versions, tracks, sample_rate, hop / sample_rate, label).write(folder / "edit.png")
    return EditResult.read(folder)


def refuse_sampler_options(edits: Sequence[str | EditSpec]) -> None:
    """InputError when an edit of a recording names what belongs to a sampler."""
    named = set().union(*(sampler_options(edit) for edit in edits))
    if named & {"from", "to"}:
        raise InputError(
            "a recording has no flow time: leave from= and to= out of the edit; for seconds of the recording give "
            "--from and --to, or during=2s-4s in the edit"
        )
    if named:
        raise InputError("a recording has no sampler: leave site=, branch= and schedule= out of the edit")


def dosed_edits(specs: Sequence[EditSpec], alphas: str | float | Sequence[float] | None) -> dict[str, list[EditSpec]]:
    """The edits of each version by its name: "alpha 0", the codec alone, and one per dose, or one with their own doses.

    Raises:
        InputError: no dose, one that is not finite or that an edit cannot have, or doses beside an edit that names one.
    """
    if alphas is not None:
        refuse_two_doses(specs)
    unedited = {CODEC: [spec.at(0.0) for spec in specs]}
    if alphas is None and any(spec.names_dose for spec in specs):
        return unedited | {EDITED: list(specs)}
    doses = read_doses(specs[0].usual_doses if alphas is None else alphas)
    if not doses or not np.isfinite(doses).all():
        raise InputError("give at least one finite alpha, such as --alpha 1,2")
    return unedited | {f"alpha {alpha:g}": [spec.at(alpha) for spec in specs] for alpha in doses if alpha != 0}


def edit_latents(
    latents: Tensor,
    specs: Sequence[EditSpec],
    readout: "Readout",
    window: tuple[int, int] | None = None,
    song: Song | None = None,
) -> Tensor:
    """Latents [B, F, C] with each edit added in turn to the frames of the window, at full strength.

    An edit with a window of its own, or a curve, has its place on the time axis of the whole recording.
    """
    part = slice(None) if window is None else slice(*window)
    edited = latents.clone()
    for spec in specs:
        if spec.alpha == 0:
            continue
        displace = displacement(spec, readout, song)
        if isinstance(displace, SongDisplacement):
            edited[:, part] += displace(edited)[:, part]
        else:
            edited[:, part] += displace(edited[:, part])
    return edited


def open_space(space: "str | Space", weights: str | None, device: str, options: Mapping[str, Any] | None) -> "Space":
    """The codec, loaded if need be."""
    if not isinstance(space, str):
        return space
    from probes.spaces import load_space

    return load_space(space, weights, device, **dict(options or {}))


def as_items(samples: np.ndarray, space: "Space") -> Tensor:
    """A recording [channels, n] as a batch for the codec: as it is where the channels fit, else each on its own."""
    tensor = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    return tensor[None] if len(samples) == space.audio_channels else tensor[:, None]


def as_recording(decoded: Tensor, space: "Space", samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """The inverse of `as_items`, at the recording's sample rate and length."""
    audio = decoded.cpu().numpy()
    audio = audio[0] if len(samples) == space.audio_channels else audio.mean(1)
    audio = resample(audio, space.sample_rate, sample_rate)[:, : samples.shape[1]]
    return np.pad(audio, [(0, 0), (0, samples.shape[1] - audio.shape[1])])


def write_tables(
    folder: Path,
    versions: Mapping[str, np.ndarray],
    tracks: Mapping[str, Tracks],
    sample_rate: int,
    seconds_per_frame: float,
    acting: np.ndarray,
) -> list[dict[str, Any]]:
    """Write summary.csv, one row per version, and curves.csv, one row per version and frame; returns the former's.

    voiced_change, clipped and log_mel_db compare a version with the codec alone (alpha 0); of that and of the
    recording, clipped is the share of all samples. Where edits act in a part of the recording, with the strength
    `acting` on every frame, inside_* and outside_* do so too: the shift of pitch (semitones), loudness (dB) and timbre
    (octaves) where they act in full and where they do not.
    """
    summary: list[dict[str, Any]] = []
    curves = []
    for name, track in tracks.items():
        values = track.summary()
        summary.append(
            {
                "version": name, "pitch_midi": values["pitch"], "level_db": values["loudness"],
                "centroid_hz": float(2 ** values["timbre"]), "voiced": track.voiced(),
                "clipped": float(np.mean(np.abs(versions[name]) >= 1)),
            }
        )  # fmt: skip
        if name not in ("original", CODEC):
            summary[-1]["voiced_change"] = track.voiced() - tracks[CODEC].voiced()
            if acting.any():
                for place, part in zip(("inside", "outside"), inside_and_outside(acting)):
                    shift = track.shift(tracks[CODEC], part)
                    summary[-1] |= {f"{place}_{key}": value for key, value in shift.items()}
            heard = distortion(versions[name], versions[CODEC], sample_rate)
            summary[-1] |= {key: heard[key] for key in ("clipped", "log_mel_db")}
        for frame, (pitch, rms, centroid) in enumerate(zip(*(track.values[key] for key in track.values))):
            curves.append(
                {
                    "version": name, "seconds": (frame + 0.5) * seconds_per_frame,
                    "pitch_midi": float(pitch) if track.valid["pitch"][frame] else "",
                    "rms": float(rms), "centroid_hz": float(centroid),
                }
            )  # fmt: skip
    write_csv(folder / "summary.csv", summary)
    write_csv(folder / "curves.csv", curves)
    return summary
