"""Fill a style cache, in an environment where muq runs:

python -m tracer.generators.diffrhythm.fill_styles --prompts musiccaps --cache styles.safetensors
"""

import argparse
import sys

from probes.errors import InputError

from .style import StyleCache


def main(arguments: list[str] | None = None) -> int:
    """Compute the style vectors of a prompt list that the cache lacks; exit code 2 for a mistake in what was given."""
    parser = argparse.ArgumentParser(prog="python -m tracer.generators.diffrhythm.fill_styles", description=__doc__)
    parser.add_argument("--prompts", required=True, help="demo, musiccaps or a file, as in `trace --prompts`")
    parser.add_argument("--n", type=int, help="as in `trace --n`; all prompts when left out")
    parser.add_argument("--seed", type=int, default=0, help="as in `trace --seed`")
    parser.add_argument("--cache", required=True, help="the .safetensors file to fill")
    parser.add_argument("--device", default="cpu", help="torch device")
    given = parser.parse_args(arguments)
    from tracer.prompts import load_prompts

    try:
        cache = StyleCache.open(given.cache)
        captions = [prompt.caption for prompt in load_prompts(given.prompts, given.n, given.seed)]
        added = cache.fill(captions, given.device)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{added} style vectors added to {cache.path}; it now holds all {len(set(captions))} captions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
