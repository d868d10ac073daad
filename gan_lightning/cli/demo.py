"""``gan-lightning demo``: a page that draws samples of a model."""

import argparse
import threading
from collections.abc import Sequence

from gan_lightning.cli.front import CommandParser
from gan_lightning.cli.run_data import class_names
from gan_lightning.cli.saved_config import checkpoint_of
from gan_lightning.demo import build, import_gradio, launch
from gan_lightning.loading import load
from gan_lightning.utils.errors import ArgumentError


def main(args: Sequence[str]) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        UserError: Gradio is missing, or an argument or the checkpoint cannot be used.
    """
    options = _parser().parse_args(list(args))
    if options.port is not None and not 0 < options.port < 2**16:
        raise ArgumentError(f"demo: --port must be from 1 to {2**16 - 1}, got {options.port}")
    import_gradio()
    path = checkpoint_of(options.ckpt_path)
    model = load(path)
    if len(model.shape) not in (1, 3):
        raise ArgumentError(f"demo: a page is of images or vectors, not of the shape {model.shape}")
    app = build(model, class_names(model, path))
    url = launch(app, options.host, options.port, opened=options.open)
    print(f"the page is at {url}; Ctrl-C ends it", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
    finally:
        app.close(verbose=False)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser("demo")
    parser.add_run()
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address that is listened at; 0.0.0.0 lets everyone in the network use the page "
        "(default: 127.0.0.1, this machine alone)",
    )
    parser.add_argument("--port", type=int, help="(default: the first free one from 7860)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    return parser
