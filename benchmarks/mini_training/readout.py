"""Train the readout that comes with the model: rendered music through the bundled codec, autoencoder, probes.

    python -m benchmarks.mini_training.readout --work FOLDER --hours 12

The same as `trace fit encode --audio rendered` and `trace fit readout`, with the settings of the shipped readout.
Pitch labels are those of CREPE's small model: many pieces help more than exact labels, and `evaluate readout` asks
the large one.
"""

import argparse
import subprocess
import sys
from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[2] / "probes" / "weights" / "mini-readout"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the corpus; the same one resumes")
    parser.add_argument("--hours", type=float, default=12.0, help="of rendered music")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    options = parser.parse_args()
    trace = [sys.executable, "-m", "cli", "fit"]
    corpus = str(options.work / "corpus")
    encode = ["encode", "--audio", "rendered", "--space", "mini", "--crepe", "tiny"]
    encode += ["--hours", str(options.hours), "--out", corpus]
    readout = ["readout", "--corpus", corpus, "--hidden", "4096", "--lambda", "0.005", "--steps", "1500"]
    readout += ["--precision", "bf16"]
    for command in (encode, [*readout, "--out", str(options.out)]):
        subprocess.run([*trace, *command], check=True)


if __name__ == "__main__":
    main()
