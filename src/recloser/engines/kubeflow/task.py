"""Owns the body of a Kubeflow task. kfp copies the function's source into the task and reads its annotations as types.

So it uses nothing from outside itself, and this file does not postpone the evaluation of annotations.
"""

from typing import NamedTuple


def recloser_step(  # noqa: PLR0913, PLR0917 - kfp passes every result as an argument of its own
    project: str,
    run_key: str,
    step: str,
    entry: str,
    job: str,
    as_of: str,
    trigger: str,
    history_days: int,
    excluded: list[str],
    parameters: str,
    needs: str,
    need_0: str = "",
    need_1: str = "",
    need_2: str = "",
    need_3: str = "",
    need_4: str = "",
    need_5: str = "",
    need_6: str = "",
    need_7: str = "",
) -> NamedTuple("Answer", [("result", str), ("Output", str)]):  # type: ignore[valid-type]
    """Run one step in the process of its task; kfp copies this source, so it uses nothing from outside.

    The verdict is called `Output`: kfp's local runner finds no other output that a condition asks for.
    """
    import importlib  # noqa: PLC0415
    import json  # noqa: PLC0415
    from typing import NamedTuple as Named  # noqa: PLC0415

    texts = (need_0, need_1, need_2, need_3, need_4, need_5, need_6, need_7)
    results = {name: json.loads(text) for name, text in zip(json.loads(needs), texts, strict=False)}
    typed = {"as_of": as_of, "trigger": trigger, "history_days": history_days, "excluded": excluded}
    told = {name: item for name, item in typed.items() if item} | json.loads(parameters)
    module, _, function = entry.partition(":")
    run_step = getattr(importlib.import_module(module), function)
    key = run_key or f"run-{job}"
    result: str = run_step(project, key, step, json.dumps({"parameters": told, **results}))
    verdict = str(json.loads(result).get("verdict") or "")
    safe = result.replace("{{", "{\\u007b")  # kfp would take it for a placeholder; the JSON means the same
    answer = Named("answer", [("result", str), ("Output", str)])  # noqa: UP014 - a type of this function alone
    return answer(safe, verdict)
