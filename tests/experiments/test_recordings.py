"""Recordings from files of many kinds: each is read right, or refused in one line."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from envs.identification import cut, fit
from experiments.common import downloads, recordings
from experiments.common.flags import UsageError
from experiments.common.recordings import grid, load, read, simulate

STEP, COUNT = 0.01, 300
TIME = np.arange(COUNT) * STEP
ANGLE = 1.5 * np.sin(3 * TIME)  # rad, 0 hangs
TORQUE = np.cos(TIME)
ROWS = np.stack([TIME, ANGLE, TORQUE], 1)


def text(rows=ROWS, header="time,position,torque", delimiter=",", form="{:.6f}"):
    lines = [delimiter.join(form.format(value) for value in row) for row in rows]
    return "\n".join([header, *lines] if header else lines) + "\n"


def written(tmp_path, content, encoding="utf-8") -> Path:
    path = tmp_path / "recording.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def check(recording, rows=ROWS):
    np.testing.assert_allclose(recording.time, rows[:, 0] - rows[0, 0], atol=1e-5)
    np.testing.assert_allclose(recording.angle, rows[:, 1] + np.pi, atol=1e-5)
    np.testing.assert_allclose(recording.torque, rows[:, 2], atol=1e-5)


DEGREES = ROWS * [1, 180 / np.pi, 1]
FRENCH = text(header="time;angle (rad);torque (Nm)", delimiter=";").replace(".", ",")  # decimal commas


@pytest.mark.parametrize(
    "content",
    [
        text(),
        text(header="meas_time,meas_pos,meas_tau"),
        text(header="t,pos,tau"),
        text(header="# Time,Angle,Torque"),
        text(header='"time","angle","torque"'),
        "# a comment\n# 2021\n" + text(),
        text(delimiter=";", header="time;position;torque"),
        text(delimiter="\t", header="time\tposition\ttorque"),
        text(delimiter=" ", header="time position torque"),
        text(delimiter="  ", header="time [s]  position [rad]  torque [N m]".replace("N m", "Nm")),
        text(delimiter="|", header="time|position|torque"),
        FRENCH,
        text().replace("\n", "\r\n"),
        text().encode("utf-16"),
        text().encode("utf-16-le"),
        text().encode("utf-8-sig"),
        text(DEGREES, header="time,angle_deg,torque", form="{:.9f}"),
        text(DEGREES, header="time,angle (°),torque", form="{:.9f}"),
        text(DEGREES, header="time,angle (°),torque", form="{:.9f}").encode("cp1252"),
        text(ROWS * [1000, 1, 1], header="time_ms,position,torque", form="{:.9f}"),
        text(ROWS + np.array([1.7e9, 0, 0])),
        text(form="{:.18e}"),
        text() + "3.001,0.2",  # the recorder was stopped in the middle of a line
    ],
)
def test_the_same_numbers_are_read_from_every_kind_of_file(content, tmp_path):
    check(read(written(tmp_path, content)))


def test_more_columns_do_not_matter(tmp_path):
    rows = np.stack([TIME, np.ones(COUNT), ANGLE, 2 * np.ones(COUNT), TORQUE], 1)
    check(read(written(tmp_path, text(rows, "time,velocity,position,current,torque"))))


@pytest.mark.parametrize(
    ("header", "columns"),
    [("seconds,theta1,u", ("seconds", "theta1", "u")), ("a,b,c", ("1", "2", "3")), ("", ("1", "2", "3"))],
)
def test_columns_are_given_by_name_or_by_number(header, columns, tmp_path):
    check(read(written(tmp_path, text(header=header)), columns))


def test_units_hold_for_numbered_columns_too(tmp_path):
    check(read(written(tmp_path, text(DEGREES, "x,a (deg),y", form="{:.9f}")), ("1", "2", "3")))


def test_degrees_wrapped_angles_and_another_zero(tmp_path):
    check(read(written(tmp_path, text(DEGREES, form="{:.9f}")), degrees=True))
    upright = read(written(tmp_path, text(ROWS + np.array([0, np.pi, 0]))), upright=True)
    check(upright)
    turning = np.stack([TIME, 4 * TIME, TORQUE], 1)
    wrapped = turning.copy()
    wrapped[:, 1] = (wrapped[:, 1] + np.pi) % (2 * np.pi) - np.pi
    check(read(written(tmp_path, text(wrapped))), turning)


def test_rows_in_disorder_twice_and_without_a_number(tmp_path):
    rows = np.random.default_rng(0).permutation(ROWS)
    recording = read(written(tmp_path, text(rows)))
    check(recording)
    assert recording.notes == ["recording.csv: rows were not in the order of time; they are sorted"]
    twice = np.concatenate([ROWS[:40], ROWS[39:]])
    recording = read(written(tmp_path, text(twice)))
    check(recording)
    assert recording.notes == ["recording.csv: 1 rows with the time of another are left out"]
    lines = text().splitlines()
    for number, cell in ((5, "nan"), (9, ""), (20, "NA"), (31, "inf")):
        first, _, last = lines[number].split(",")
        lines[number] = f"{first},{cell},{last}"
    recording = read(written(tmp_path, "\n".join(lines)))
    kept = np.delete(np.arange(COUNT), [4, 8, 19, 30])
    check(recording, ROWS[kept])
    assert recording.notes == ["recording.csv: 4 rows without a number are left out"]


def test_a_gap_is_named_and_splits_the_grid(tmp_path):
    kept = (TIME < 1.0) | (TIME > 1.5)
    recording = read(written(tmp_path, text(ROWS[kept])))
    assert recording.notes == ["recording.csv: 1 gaps; nothing is fitted across them"]
    first, second = grid(recording, 0.02)
    assert len(first.angle) == 50
    assert len(second.torque) == len(second.angle) - 1
    assert second.first == pytest.approx(1.5, abs=0.011)
    np.testing.assert_allclose(first.angle, 1.5 * np.sin(3 * np.arange(50) * 0.02) + np.pi, atol=1e-3)
    np.testing.assert_allclose(first.torque, np.cos(np.arange(49) * 0.02 + 0.01), atol=1e-3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "found nothing in "),
        ("\n\n", "found nothing in "),
        ("time,position,torque\n", "found 0 rows with three numbers, expected at least 50"),
        (text(ROWS[:20]), "found 20 rows with three numbers, expected at least 50"),
        (text(ROWS[:, :2], "time,position"), "line 1: found the columns time, position, expected time (time, t,"),
        (text(header=""), "line 1: found the columns 0.000000, 0.000000, 1.000000, expected time"),
        (text(header="time,pos,meas_pos,torque"), "found the columns pos and meas_pos, expected one angle"),
        (text().replace("0.010000", "abc"), "line 3: found time 'abc', expected a number"),
        (text().replace("0.010000,", ""), "line 3: found 2 columns, expected at least 3"),
        (text(header="time,angle (turns),torque"), "found the column 'angle(turns)', expected a unit of angle"),
        (text(ROWS * [1, 180 / np.pi, 1]), "expected radians, or --degrees"),
        (text(ROWS * [1000, 1, 1]), "found steps of 10 s, expected at most 0.06 s"),
        (text(ROWS * [1, 0.01, 1]), "expected a pendulum that swings"),
        (text(ROWS[:100]), "found 0.99 s of a recording, expected at least 1.5 s"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "which is no text"),
        (text(ROWS * [1, np.nan, 1]), "found 0 rows with three numbers"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(content, words, tmp_path):
    path = written(tmp_path, content)
    with pytest.raises(UsageError) as error:
        read(path)
    assert words in str(error.value)
    assert str(error.value).startswith("--data: ")
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_none_are_named(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(UsageError, match="--other: found no file .*expected a table of time, angle, torque"):
            read(path, flag="--other")


@pytest.mark.parametrize(("columns", "words"), [(("1", "2", "9"), "expected numbers in columns 1, 2, 9")])
def test_columns_that_are_not_there(columns, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        read(written(tmp_path, text()), columns)
    with pytest.raises(UsageError, match=r"found the columns time, position, torque, expected time .a.; angle .b"):
        read(written(tmp_path, text()), ("a", "b", "c"))


def test_a_part_of_a_recording():
    recording = simulate(0)
    part = recording.part(1.0, 2.0)
    assert part.time[0] == 0
    assert part.seconds == pytest.approx(1.0, abs=0.011)
    np.testing.assert_array_equal(part.angle, recording.angle[200:401])


@pytest.mark.parametrize("number", [0, 1])
def test_simulated_recordings_tell_their_pendulum(number):
    recording = simulate(number)
    assert recording.name.startswith("simulated")
    found = fit(cut(recording.time, recording.angle, recording.torque))
    assert float(found.pendulum.length) == pytest.approx(0.5, rel=0.03)
    assert found.rms < 0.01
    np.testing.assert_array_equal(recording.angle, simulate(number).angle)


def test_without_a_network_recordings_are_simulated_and_say_so(tmp_path, monkeypatch):
    load.cache_clear()
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))
    monkeypatch.setattr(recordings, "SITE", "http://127.0.0.1:9")
    first, second = load("auto")
    assert first.truth is not None
    assert second is not None
    assert "Going on with simulated recordings" in first.notes[1]
    assert "no download of pendulum-direct_collocation.csv" in first.notes[0]
    with pytest.raises(UsageError, match="--data: found no download"):
        load("download")
    load.cache_clear()


def test_a_download_has_its_checksum_and_is_read(tmp_path, monkeypatch):
    """A stand-in for the network: it has one file, whose checksum is known."""
    load.cache_clear()
    content = text().encode()
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path))
    sums = {name: (folder, hashlib.sha256(content).hexdigest()) for name, (folder, _) in recordings.PUBLIC.items()}
    asked = []

    def answer(self, url, path, *_):
        asked.append(url)
        Path(path).write_bytes(content)

    monkeypatch.setattr(downloads.pooch.HTTPDownloader, "__call__", answer)
    monkeypatch.setattr(recordings, "PUBLIC", sums)
    first, second = load("download")
    assert first.name == "direct_collocation"
    assert second is not None
    check(first)
    assert asked[0].startswith("https://raw.githubusercontent.com/dfki-ric-underactuated-lab/")
    assert asked[0].endswith("/data_measured.csv")
    monkeypatch.undo()
    monkeypatch.setenv("BALANCIER_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(downloads.pooch.HTTPDownloader, "__call__", answer)
    load.cache_clear()
    with pytest.raises(UsageError, match="fails its SHA-256"):
        load("download")
    load.cache_clear()
