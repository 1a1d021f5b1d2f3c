"""`./run demo [--exit]`: four real phone calls over loopback, from the ringing phone to the monthly report.

Makes a fresh installation under var/demo, starts recorder, worker and web as a site would, lets four pyVoIP
softphones register as seat phones, places three inbound calls and one 回访 at once, waits until all are pre-scored,
freezes the month so far, draws a sample and prints where to look. With --exit the leader's evaluations go through
the web forms, the report is exported, and the last line is one JSON object; status 0 only if all of it is true.
"""

import json
import logging
import signal
import sys
import time
from pathlib import Path

from callqa.app import CONFIG_ERROR_STATUS
from callqa.arguments import Parser
from callqa.demo.show import Show
from callqa.errors import CallqaError

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    """Run the demo. Exit status 0 when everything that the last line claims is true."""
    parser = Parser(prog="./run demo", description="演示：真实电话走一遍")
    parser.add_argument("--exit", action="store_true", help="无人值守：评分、导出报告后退出，最后一行是 JSON")
    parser.add_argument(
        "--home", metavar="文件夹", type=Path, default=ROOT / "var" / "demo", help="演示数据放哪里（每次重建）"
    )
    args = parser.parse_args()
    started, interrupted = time.monotonic(), False
    for number in (signal.SIGTERM, signal.SIGHUP):  # whoever ends us, phones and services end with us
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    show = Show(args.home, models=ROOT / "var" / "models" / "whisper-base")
    try:
        show.play()
        if args.exit:
            show.lead()
        else:
            show.invite()
            show.wait_for_interrupt()
    except CallqaError as e:
        print(f"\n演示没有走完，停在“{show.stage}”：{e}", file=sys.stderr, flush=True)  # noqa: T201
    except KeyboardInterrupt:
        interrupted = True
        print("\n正在停止演示……", flush=True)  # noqa: T201
    except Exception:  # top of the verb: the last line is owed whatever went wrong
        logging.getLogger("callqa.demo").exception("the demo broke at stage %s", show.stage)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would leave services behind
        show.stop()
    if interrupted:
        return 0 if show.finished and not args.exit else 130
    result = show.result()
    if args.exit:
        result["elapsed_s"] = round(time.monotonic() - started, 1)
        print(json.dumps(result, ensure_ascii=False), flush=True)  # noqa: T201  the contract of --exit
    if show.refused_settings:
        return CONFIG_ERROR_STATUS
    return 0 if show.finished and show.everything_true(evaluated=args.exit) else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
