"""scripts/compare_runs.py: curves, scores and differing options of several runs on one page."""
import base64
import csv
import io

import compare_runs
import pytest
import yaml
from PIL import Image

from src.errors import InputError
from src.train.log import COLUMNS


def write_run(folder, lr, psnr):
    """A run of two epochs of two steps with validations of the given PSNR."""
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text(yaml.safe_dump({"lr": lr, "epochs": 2, "ckpt_save_path": str(folder)}))
    with open(folder / "metrics.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for step in range(5):
            if step:
                writer.writerow({"step": step, "loss": 1 / step, "lr": lr, "gain": 1.5})
            if step % 2 == 0:
                writer.writerow({"step": step, "val_psnr": psnr[step // 2], "val_ssim": 0.5 + step / 10})
        file.write("5,1,0.")  # a kill during a write
    return folder


def test_the_page_holds_curves_scores_and_differing_options(tmp_path, capsys):
    first = write_run(tmp_path / "a/run", 0.1, [10, 13.25, 12])
    second = write_run(tmp_path / "b/run", 0.2, [10, 9, 11.5])
    output = tmp_path / "page.html"
    assert compare_runs.main([str(first), str(second), "--output", str(output)]) == 0
    text = output.read_text()
    for said in ("<td>a/run</td>", "<td>b/run</td>", "13.25 in step 2 (start 10)", "11.5 in step 4 (start 10)",
                 "0.9 in step 4 (start 0.5)", "<td>lr</td><td>0.1</td><td>0.2</td>"):
        assert said in text
    assert "<td>epochs</td>" not in text and "ckpt_save_path" not in text and "http" not in text
    pictures = [base64.b64decode(part.split('"')[0]) for part in text.split("base64,")[1:]]
    assert len(pictures) == 4
    for picture in pictures:
        with Image.open(io.BytesIO(picture)) as image:
            assert image.size == (600, 350)
    assert "2 runs" in capsys.readouterr().out


def test_runs_without_validation_have_a_page_too(tmp_path):
    run = write_run(tmp_path / "a", 0.1, [1, 1, 1])
    rows = (run / "metrics.csv").read_text().splitlines()
    (run / "metrics.csv").write_text("\n".join(row for row in rows if ",0.5" not in row and ",0.7" not in row
                                               and ",0.9" not in row) + "\n")
    assert "<td>-</td><td>-</td>" in compare_runs.page(compare_runs.read_runs([run, run]))


def test_a_folder_without_a_run_is_one_line(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}: holds no run of train.py"):
        compare_runs.main([str(tmp_path), "--output", str(tmp_path / "page.html")])
    assert not (tmp_path / "page.html").exists()
