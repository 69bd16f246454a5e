"""The model card of a run, and the Hugging Face hub: what was trained goes there, the base's weights never do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import yaml

from clue_ros.ambiguity.kinds import head_files
from clue_ros.training.recipe_file import RECORD, TrainingError
from clue_ros.vlm.settings import FILE

CARD = "README.md"
MARK = "<!-- written by clue finetune -->"  # a card without it is somebody's own and stays


def write_card(output: Path, reports: Dict[str, Dict]) -> None:
    """Write README.md into a model directory, unless there is one that a person wrote.

    reports: of the runs that the directory holds, by task: report.json's content
    """
    output = Path(output)
    file = output / CARD
    if file.is_file() and MARK not in file.read_text(encoding="utf-8", errors="replace"):
        return
    lines = ["---", "library_name: peft", "pipeline_tag: image-text-to-text", "tags: [clue_ros, visual-grounding]"]
    lines += ["---", MARK, f"# {output.resolve().name}", ""]
    for task, report in sorted(reports.items()):
        lines += [*_of_run(output / "training" / task / RECORD, task, report), ""]
    lines += [
        "## Use",
        "",
        "These are adapters and small heads. Put the files of the base checkpoint beside them, then:",
        "",
        "```",
        'clue ground photo.jpg "hand me the mug" --model DIR',
        "```",
        "",
        "The base's licence holds for what is made of it.",
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def push(output: Path, repository: str) -> str:
    """Upload a model directory without the base's weights, as the user that the hub's own client knows; returns the
    address. Raises TrainingError with the client's reason."""
    try:
        from huggingface_hub import HfApi

        api = HfApi()
        api.create_repo(repository, exist_ok=True)
        api.upload_folder(
            repo_id=repository,
            folder_path=str(output),
            allow_patterns=[CARD, FILE, "adapters/**", *head_files()],
            commit_message="clue finetune",
        )
    except Exception as error:  # the hub's client raises its own, requests' and the system's errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TrainingError(f"{output} is complete, but {repository} cannot be pushed: {reason}") from error
    return f"https://huggingface.co/{repository}"


def _of_run(record: Path, task: str, report: Dict[str, Any]) -> List[str]:
    made: Dict[str, Any] = yaml.safe_load(record.read_text(encoding="utf-8")) if record.is_file() else {}
    settings, lora = made.get(task, {}), made.get("lora", {})
    run = made.get("run", {})
    lines = [
        f"## Task {task}",
        "",
        f"Base `{Path(run.get('base', '')).name}`, data set `{run.get('data', '')}`, {report.get('steps')} steps of "
        f"{settings.get('batch')} examples, rate {settings.get('lr')}, LoRA r {lora.get('r')}, alpha "
        f"{lora.get('alpha')}. The best weights by {report.get('metric')} on validation.",
        "",
        "| figure | validation | test |",
        "|---|---|---|",
    ]
    valid, test = report.get("valid", {}), report.get("test", {})
    for name in dict.fromkeys([*valid, *test]):
        if any(isinstance(part.get(name), (int, float)) for part in (valid, test)):
            lines.append(f"| {name} | {valid.get(name, '')} | {test.get(name, '')} |")
    return lines
