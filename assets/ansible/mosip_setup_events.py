"""Tells what a playbook does, one small JSON object a line, in the file that MOSIP_SETUP_ANSIBLE_EVENTS names.

Names and states only: no results, no arguments, no variables, so that nothing secret can be in it. The ordinary output stays as it
is. Whatever goes wrong here is left alone: the playbook must not notice. Works with ansible-core 2.14 and later.
"""

from __future__ import annotations

import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: mosip_setup_events
type: notification
short_description: tells mosip-setup what a playbook does
description:
  - Appends one small JSON object a line to a file; no results, arguments or variables.
requirements:
  - the environment variable MOSIP_SETUP_ANSIBLE_EVENTS names the file
"""

FORMAT = 1
LONGEST = 200


def _short(text):
    text = " ".join(str(text).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _label(result):
    """What tells an item from the others: its name, never the whole of it."""
    if result.get("_ansible_no_log") or "censored" in result:
        return ""
    variable = result.get("ansible_loop_var", "item")
    item = result.get("_ansible_item_label", result.get(variable, ""))
    if isinstance(item, dict):
        item = next((item[key] for key in ("name", "key", "path", "dest", "src") if isinstance(item.get(key), str)), "")
    return _short(item) if isinstance(item, (str, int, float)) else ""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "mosip_setup_events"
    # It is found by its folder alone, so the operator's own list of callbacks stays in force.
    CALLBACK_NEEDS_ENABLED = False
    CALLBACK_NEEDS_WHITELIST = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._file = -1
        self._tasks = 0
        self._numbers = {}
        # Where each host goes at its own pace, the same task begins once for each of them.
        self._started = {}
        path = os.environ.get("MOSIP_SETUP_ANSIBLE_EVENTS")
        if not path:
            self.disabled = True
            return
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            self.disabled = True
            return
        self._tell("hello", format=FORMAT)

    def _tell(self, event, **more):
        if self._file < 0:
            return
        try:
            line = json.dumps({"event": event, "at": round(time.time(), 3), **more}, ensure_ascii=True, separators=(",", ":"))
            os.write(self._file, line.encode("ascii") + b"\n")
        except Exception:  # a full disk, or a kind of value that nobody thought of
            self._file = -1

    def _begin(self, task, handler):
        try:
            self._tasks += 1
            self._numbers[task._uuid] = self._tasks
            self._tell("task", task=self._tasks, name=_short(task.get_name()), handler=handler)
        except Exception:
            self._file = -1

    def _result(self, event, result, **more):
        try:
            uuid, host = result._task._uuid, result._host.get_name()
            task = self._started.get((uuid, host), self._numbers.get(uuid, self._tasks))
            self._tell(event, task=task, host=_short(host), **more)
        except Exception:
            self._file = -1

    @staticmethod
    def _of(result):
        found = getattr(result, "result", None)
        return found if isinstance(found, dict) else result._result

    def _host_ended(self, result, status, ignored=False):
        self._result("host", result, status=status, ignored=bool(ignored))

    def _item_ended(self, result, status):
        try:
            label = _label(self._of(result))
        except Exception:
            label = ""
        self._result("item", result, status=status, item=label)

    # --- what Ansible calls ---

    def v2_playbook_on_play_start(self, play):
        try:
            self._tell("play", name=_short(play.get_name()))
        except Exception:
            self._file = -1

    def v2_playbook_on_no_hosts_matched(self):
        self._tell("no_hosts")

    def v2_playbook_on_task_start(self, task, is_conditional):
        self._begin(task, False)

    def v2_playbook_on_cleanup_task_start(self, task):
        self._begin(task, False)

    def v2_playbook_on_handler_task_start(self, task):
        self._begin(task, True)

    def v2_runner_on_start(self, host, task):
        try:
            number = self._numbers.get(task._uuid, self._tasks)
            self._started[(task._uuid, host.get_name())] = number
            self._tell("start", task=number, host=_short(host.get_name()))
        except Exception:
            self._file = -1

    def v2_runner_on_ok(self, result):
        changed = False
        try:
            changed = bool(self._of(result).get("changed", False))
        except Exception:
            pass
        self._host_ended(result, "changed" if changed else "ok")

    def v2_runner_on_skipped(self, result):
        self._host_ended(result, "skipped")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._host_ended(result, "failed", ignore_errors)

    def v2_runner_on_unreachable(self, result):
        ignored = False
        try:
            ignored = bool(getattr(result._task, "ignore_unreachable", False))
        except Exception:
            pass
        self._host_ended(result, "unreachable", ignored)

    def v2_runner_retry(self, result):
        left, of = 0, 0
        try:
            outcome = self._of(result)
            of = int(outcome.get("retries", 0))
            left = of - int(outcome.get("attempts", 0))
        except Exception:
            pass
        self._result("retry", result, left=max(left, 0), of=max(of, 0))

    def v2_runner_item_on_ok(self, result):
        changed = False
        try:
            changed = bool(self._of(result).get("changed", False))
        except Exception:
            pass
        self._item_ended(result, "changed" if changed else "ok")

    def v2_runner_item_on_failed(self, result):
        self._item_ended(result, "failed")

    def v2_runner_item_on_skipped(self, result):
        self._item_ended(result, "skipped")

    def v2_playbook_on_stats(self, stats):
        try:
            hosts = {}
            for host in sorted(stats.processed):
                counts = stats.summarize(host)
                hosts[_short(host)] = {name: int(counts.get(name, 0)) for name in ("ok", "changed", "failures", "unreachable", "skipped", "rescued", "ignored")}
            self._tell("recap", hosts=hosts)
        except Exception:
            self._file = -1
