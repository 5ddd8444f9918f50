"""The command that opens a page to try edits by ear."""

from typing import Annotated

import typer

from probes.support.pairs import key_values
from tracer.commands.consent import Yes, agree
from tracer.commands.from_options import help_of


def explore_command(
    prompt: Annotated[str, typer.Argument(help="Prompt to begin with.")] = "A slow solo piano piece, soft and dark.",
    model: Annotated[str, typer.Option(help=help_of("generator"))] = "mini",
    weights: Annotated[str | None, typer.Option(help=help_of("weights"), show_default="the model's own")] = None,
    readout: Annotated[str | None, typer.Option(help=help_of("readout"), show_default="the model's own")] = None,
    seconds: Annotated[float, typer.Option(help="Length of a take in seconds.")] = 4.0,
    steps: Annotated[int | None, typer.Option(help=help_of("steps"), show_default="32, or the model's own")] = None,
    guidance: Annotated[
        float | None, typer.Option("--guidance", "--cfg", help=help_of("guidance"), show_default="the model's own")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help=help_of("options"), show_default=False)] = None,
    device: Annotated[str, typer.Option(help=help_of("device"))] = "auto",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port to listen on.", show_default="the first that is free")] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")] = False,
    yes: Yes = False,
) -> None:
    """Try edits by ear in a browser: sliders for the attributes, a plain and a steered take side by side.

    Needs the extra [b]explore[/b]. Nothing leaves this machine, and only this machine is answered.
    """
    from probes.errors import InputError
    from probes.support.devices import pick_device
    from tracer.exploring.app import build_app, import_gradio
    from tracer.fetching import of_session
    from tracer.options import SessionOptions
    from tracer.session import Session

    import_gradio()
    if port is not None and not 1 <= port <= 65535:
        raise InputError(f"--port takes 1 to 65535, not {port}")
    options = SessionOptions(
        generator=model, prompts=[prompt], weights=weights, readout=readout, seconds=seconds, steps=steps,
        guidance=guidance, options=key_values(set_), device=device,
    )  # fmt: skip
    agree(of_session(options, decoded=True), yes)
    app = build_app(Session.open(options, pick_device(device)), options)
    try:
        app.launch(server_name=host, server_port=port, inbrowser=not no_open, share=False, quiet=False)
    except OSError as error:
        place = host if port is None else f"port {port} of {host}"
        raise InputError(f"{place} cannot be used: choose another --port or --host") from error
