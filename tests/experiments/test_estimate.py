"""How long a table takes is told by the nearest that is known and each row's own GFLOPs, and how sure that is."""

import pandas as pd
import pytest
import torch

from experiments.cli import main
from experiments.config.rows import find_rows
from experiments.cost import build, flops
from experiments.launch.estimate import START_S, estimate, format_duration, format_span
from experiments.launch.plan import jobs, plan_jobs, resolve_rows
from experiments.launch.rates import ANY_CPU, CPU_GFLOPS, DECODE_S, LIKE, MEASURED, NETWORKS, SINGLE, Rate, spread
from experiments.launch.workload import Network, gflops, read_counted, step_passes, work
from experiments.runs.data_used import Data, DataNow, count_clips, keep_data
from experiments.training.settings import Settings

CLIPS = {"train": 3600, "val": 700, "test": 700}
SEEN, LOOKED = 10 * 3600 * 270, 10 * 700 * 100  # frames of ten epochs
NAMES = ["table-1/resnet50-unet", "table-1/hrnet_w18-fcn", "ablation-decision/mean", "table-4/c23", "table-3"]


@pytest.fixture(scope="module")
def table():
    return {str(job.row): job for job in jobs(resolve_rows(find_rows(NAMES), Settings().of), [0])}


def finish(job, runs, seconds, size=299, **facts):
    """Leaves a training of a job's row that has ended, in the folder of another seed."""
    data = {**job.config["data"], "init_args": {**job.config["data"]["init_args"], "size": size}}
    config = {**job.config, "data": data, "seed_everything": 5}
    folder = job._replace(seed=5).folder(runs)
    folder.keep_config(config)
    splits = [split for split, count in CLIPS.items() for _ in range(count)]
    clips = pd.DataFrame({"name": range(len(splits)), "split": splits, "pair": "", "video": "", "mask": ""})
    keep_data(folder, Data(clips.astype(str), {}, {}), write=True)
    folder.note("fit", {"seconds": seconds, "device": "cpu", "processes": 1, **facts})
    return config


def measured(runs, *lines):
    """Leaves a cost.csv with lines of row, size, GFLOPs, ms, frames at once and device."""
    names = [{"table": row.partition("/")[0], "row": row.partition("/")[2]} for row, *_ in lines]
    facts = [dict(zip(("size", "flops", "ms", "batch_size", "device"), line[1:], strict=True)) for line in lines]
    rows = [{**name, **fact, "flops": 1e9 * fact["flops"]} for name, fact in zip(names, facts, strict=True)]
    pd.DataFrame(rows).to_csv(runs / "cost.csv", index=False)


def told(job, runs):
    """Seconds beside those of the start, factor and source of one row."""
    found = estimate(plan_jobs([job], runs), runs)
    (seconds,), (factor,), (source,) = found
    return seconds - START_S, factor, source


def test_work_is_counted_in_gflops_and_frames_a_training_step_as_three_passes(table):
    image = 335.6 * 0.299**2  # resnet50 under a UNet
    amount = work(table["table-1/resnet50-unet"].config, CLIPS)
    assert amount.passes == 3 * SEEN + LOOKED
    assert amount.training == pytest.approx(image * (3 * SEEN + LOOKED))
    assert (amount.training_frames, amount.test_frames) == (SEEN + LOOKED, 700 * 100)
    decision = work(table["ablation-decision/mean"].config, CLIPS)  # validated, not trained
    assert decision.training == pytest.approx(decision.test) == pytest.approx(image * 700 * 100)


def test_what_never_learns_is_passed_forward_only(table):
    whole, encoder = read_counted()["resnet50", "unet", ""], read_counted()["resnet50", "", "32"]
    assert step_passes(table["table-3/segmentation"].config) == 3
    assert step_passes(table["table-3/imagenet-then-segmentation"].config) == pytest.approx(3 - 2 * encoder / whole)
    assert step_passes(table["table-3/imagenet-then-classification"].config) == 1


def test_networks_of_all_rows_were_counted_and_some_are_counted_anew():
    for row, config in resolve_rows(find_rows(["demo", *{row.table for row in find_rows([])}]), Settings().of).items():
        assert Network.of(config) in read_counted(), row
    for name in ("demo/segmentation", "demo/classification", "ablation-efficiency/mobilenetv3_small_100"):
        cli = build(find_rows([name])[0].path)
        model, size = cli.model.eval(), cli.datamodule.options.size
        network = Network.of(cli.resolved)
        assert gflops(network, size) == pytest.approx(flops(model, torch.rand(1, 3, size, size)) / 1e9, rel=0.01), name


def test_without_anything_measured_a_cpu_core_is_taken(table, tmp_path):
    job = table["table-1/resnet50-unet"]
    whole = work(job.config, CLIPS)
    computing = (whole.training + whole.test) / CPU_GFLOPS
    decoding = DECODE_S * (SEEN + LOOKED + 70_000) / 2  # by two workers
    seconds, factor, source = told(job, tmp_path)
    assert (seconds, factor) == (pytest.approx(computing + decoding), ANY_CPU)
    assert source.startswith("GFLOPs at 38 a second, as of one CPU core")
    shared = table["table-4/c23"]
    assert estimate(plan_jobs([job, shared], tmp_path), tmp_path).seconds[1] < seconds / 10  # and is tested further


def test_a_finished_run_tells_of_the_same_network_and_size(table, tmp_path):
    job = table["table-1/resnet50-unet"]
    whole = work(job.config, CLIPS)
    finish(job, tmp_path, 2 * whole.training)
    expected = pytest.approx(2 * (whole.training + whole.test))
    assert told(job, tmp_path) == (expected, LIKE, "what 1 finished training of the same network and size took here")
    measured(tmp_path, ("table-1/resnet50-unet", 299, 30.0, 1.0, 1, "CPU"))  # which is no surer
    assert told(job, tmp_path)[:2] == (expected, LIKE)


def test_several_processes_of_a_finished_run_count_as_several_devices(table, tmp_path):
    job = table["table-1/resnet50-unet"]
    whole = work(job.config, CLIPS)
    finish(job, tmp_path, whole.training, device="cuda:0", processes=4)
    assert told(job, tmp_path)[0] == pytest.approx(4 * (whole.training + whole.test))
    trainer = {**job.config["trainer"], "devices": 2, "num_nodes": 4}
    eight = job._replace(config={**job.config, "trainer": trainer})
    assert told(eight, tmp_path)[0] == pytest.approx((whole.training + whole.test) / 2)


def test_other_networks_and_sizes_are_scaled_by_gflops_beside_what_is_decoded(table, tmp_path):
    reference, other = table["table-1/resnet50-unet"], table["table-1/hrnet_w18-fcn"]
    small = finish(reference, tmp_path, 10_000_000.0, size=224)
    computed = 10_000_000.0 - DECODE_S * (SEEN + LOOKED) / 2
    rate = computed / work(small, CLIPS).training
    for job in (reference, other):
        whole = work(job.config, CLIPS)
        expected = rate * (whole.training + whole.test) + DECODE_S * (SEEN + LOOKED + 70_000) / 2
        seconds, factor, source = told(job, tmp_path)
        assert (seconds, factor) == (pytest.approx(expected), NETWORKS)
        assert source == "GFLOPs and what 1 finished training of other networks or sizes took here"
    assert gflops(Network.of(other.config), 299) / gflops(Network.of(reference.config), 299) == pytest.approx(
        read_counted()["hrnet_w18", "fcn", ""] / 335.6
    )


def test_trainings_on_far_smaller_images_tell_nothing(table, tmp_path):
    job = table["table-1/resnet50-unet"]
    finish(job, tmp_path, 10_000_000.0, size=52)  # a 33rd of the pixels
    assert told(job, tmp_path)[2].startswith("GFLOPs at 38 a second, as of one CPU core")
    lines = ("table-1/resnet50-unet", 52, 0.9, 300.0, 1, "CPU"), ("table-1/resnet50-fpn", 299, 22.9, 458.0, 1, "CPU")
    measured(tmp_path, *lines)
    whole = work(job.config, CLIPS)
    decoding = DECODE_S * (SEEN + LOOKED + 70_000) / 2
    assert told(job, tmp_path)[0] == pytest.approx(0.02 * (whole.training + whole.test) + decoding)  # 458 ms / 22.9


def test_a_measured_forward_pass_is_taken_before_other_trainings(table, tmp_path):
    job, other = table["table-1/resnet50-unet"], table["table-1/hrnet_w18-fcn"]
    finish(job, tmp_path, 1e9, size=128)
    image = 335.6 * 0.299**2
    measured(tmp_path, ("table-1/resnet50-unet", 299, image, 500.0, 1, "CPU x86_64 AVX2"))
    passes, decoding = 3 * SEEN + LOOKED + 70_000, DECODE_S * (SEEN + LOOKED + 70_000) / 2
    source = "the time of its forward pass in cost.csv, CPU x86_64 AVX2"
    assert told(job, tmp_path) == (pytest.approx(0.5 * passes + decoding), MEASURED, source)
    seconds, factor, source = told(other, tmp_path)
    part = read_counted()["hrnet_w18", "fcn", ""] / 335.6
    assert (seconds, factor) == (pytest.approx(0.5 * part * passes + decoding), NETWORKS)
    assert source == "GFLOPs and the times in cost.csv, CPU x86_64 AVX2"


def test_a_gpu_decodes_while_it_computes_and_is_less_sure_of_few_frames_at_once(table, tmp_path):
    job, image = table["table-1/resnet50-unet"], 335.6 * 0.299**2
    decoding = DECODE_S * (SEEN + LOOKED + 70_000) / 2
    measured(tmp_path, ("table-1/resnet50-unet", 299, image, 0.5, 32, "NVIDIA"))
    assert told(job, tmp_path)[:2] == (pytest.approx(decoding), MEASURED)  # which takes longer than 0.5 ms a pass
    measured(tmp_path, ("table-1/resnet50-unet", 299, image, 9.0, 1, "NVIDIA"))
    seconds, factor, source = told(job, tmp_path)
    assert (seconds, factor) == (pytest.approx(0.009 * (3 * SEEN + LOOKED + 70_000)), SINGLE)
    assert source.endswith("NVIDIA, batches of 1 (surer with make cost --batch_size)")


def test_a_damaged_cost_file_is_named_and_passed_over(table, tmp_path, capsys):
    (tmp_path / "cost.csv").write_text("nonsense\n1\n")
    main(
        [
            "plan",
            "table-1/resnet50-unet",
            "--runs",
            str(tmp_path),
            "--",
            "--data.init_args.root",
            str(tmp_path / "none"),
        ]
    )
    printed = capsys.readouterr()
    assert f"left out: {tmp_path / 'cost.csv'}" in printed.err
    assert "as of one CPU core" in printed.out


def test_rates_that_differ_more_make_a_time_less_sure():
    assert spread([2.0], 1.5) == 1.5
    assert spread([1.0, 2.0, 3.0], 1.5) == 2
    assert spread([1.0, 2.0, 12.0], 1.5) == 6


def test_devices_and_workers_share_the_work():
    on_cpu, on_gpu = (Rate(2.0, 3.0, overlaps, 1.0, "") for overlaps in (False, True))
    assert on_cpu.seconds(100, 10, 1, 1) == 2 * 100 + 3 * 10
    assert on_cpu.seconds(100, 10, 2, 5) == 2 * 50 + 3 * 1
    assert on_gpu.seconds(100, 10, 1, 1) == 200
    assert on_gpu.seconds(10, 10, 1, 1) == 30
    assert on_gpu.seconds(10, 10, 1, 0) == 50  # nothing decodes ahead


def test_a_plan_says_the_span_of_all_its_rows(table, tmp_path):
    done, other = table["table-1/resnet50-unet"], table["table-1/hrnet_w18-fcn"]
    finish(done, tmp_path, work(done.config, CLIPS).training)
    found = estimate(plan_jobs([done, other], tmp_path), tmp_path)
    assert found.factors == [LIKE, NETWORKS]
    assert len(found.sources) == 2
    first, second = found.seconds
    assert found.span == pytest.approx((first / LIKE + second / NETWORKS, first * LIKE + second * NETWORKS))


@pytest.mark.parametrize(
    ("least", "most", "text"),
    [
        (40, 90, "40 to 90 s"),
        (40, 720, "40 s to 12 min"),
        (9000, 90_000, "2.5 to 25.0 h"),
        (9000, 4e5, "2.5 h to 4.6 days"),
    ],
)
def test_a_span_is_said_in_words(least, most, text):
    assert format_span(least, most) == text


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (720, "12 min"), (9000, "2.5 h"), (400000, "4.6 days")])
def test_time_is_said_in_words(seconds, text):
    assert format_duration(seconds) == text


def test_videos_named_by_a_csv_are_counted_as_they_are(film, tmp_path):
    lines = ["path,split,label"]
    for number, split in enumerate(["train", "train", "val", "val", "test", "test", "test"]):
        film(tmp_path / f"{number}.mp4")
        lines.append(f"{number}.mp4,{split},{number % 2}")
    (tmp_path / "videos.csv").write_text("\n".join(lines) + "\n")
    changes = {
        "data": {"class_path": "datamodules.VideoFolderDataModule", "init_args": {"csv": str(tmp_path / "videos.csv")}}
    }
    settings = Settings()
    row = find_rows(["demo/classification"])[0]
    config = settings.apply(settings.of(row), changes)
    assert count_clips(DataNow()(config), config) == {"train": 2, "val": 2, "test": 3}
    told = estimate(plan_jobs(jobs({row: config}, [0]), tmp_path / "runs"), tmp_path / "runs")
    assert told.seconds[0] > START_S
