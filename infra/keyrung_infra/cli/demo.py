"""`keyrung demo`: the main job as a story."""

import signal
import sys

import click

from keyrung_infra.demo.run import run
from keyrung_infra.demo.story import Story
from keyrung_infra.files import write_private
from keyrung_infra.project import STATE_FOLDER, find_root
from keyrung_infra.tools import tools


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object to standard output instead.")
def command(as_json: bool) -> None:
    """Show a completed step-up, from `pulumi up` to the audit log.

    The same is written as JSON to .keyrung/demo.json.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers of the story end with it
    root = find_root()
    story = Story(quiet=as_json)
    ok = False
    try:
        run(root, tools(), story)
        ok = True
    finally:
        if (root / STATE_FOLDER).is_dir():
            write_private(root / STATE_FOLDER / "demo.json", story.encoded(ok=ok))
    if as_json:
        sys.stdout.buffer.write(story.encoded(ok=True))
    else:
        click.echo(f"\nDone. The story is in {STATE_FOLDER}/demo.json, the log in `keyrung audit show`.")
