"""Commands about models: list them, make DiffRhythm's style vectors."""

from pathlib import Path
from typing import Annotated

import typer

from tracer.commands.from_options import with_flags
from tracer.commands.tracing import AsJson
from tracer.options import PromptOptions


def models_command(as_json: AsJson = False) -> None:
    """List every generator and latent space: licence, size, extra to install, and whether its weights are here."""
    from tracer.generators.catalogue import print_catalogue

    print_catalogue(as_json)


@with_flags
def styles_command(
    cache: Annotated[Path, typer.Argument(help="Style cache to fill (.safetensors).")], given: PromptOptions
) -> None:
    """Turn captions into DiffRhythm style vectors with MuQ-MuLan and keep them in a file.

    Needs the extra [b]diffrhythm[/b] (muq, transformers < 5), usually in an environment of its own. The file can
    then be read anywhere: [b]trace --model diffrhythm --set style_cache=FILE[/b].
    """
    from tracer.generators.diffrhythm.style import StyleCache
    from tracer.prompts import choose_prompts

    prompts = choose_prompts(given.prompts, given.n, given.seed, given.balanced)
    StyleCache.open(cache).fill([prompt.caption for prompt in prompts], device=given.device)
