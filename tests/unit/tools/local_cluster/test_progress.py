import io
import threading

import pytest

from local_cluster.progress import Progress, elapsed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "   0.0 s"),
        (9.96, "  10.0 s"),
        (59.9, "  59.9 s"),
        (60, "   1m00s"),
        (247.9, "   4m07s"),
        (3725, "  62m05s"),
    ],
)
def test_durations_have_one_width(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text


def test_a_step_is_one_line() -> None:
    out = io.StringIO()
    with Progress(out).step("etcd"):
        pass
    (line,) = out.getvalue().splitlines()
    assert line.split()[0] == "ok"
    assert line.endswith("  etcd")


def test_a_failed_step_says_so_and_lets_the_error_through() -> None:
    out = io.StringIO()
    with pytest.raises(ValueError, match="broken"), Progress(out).step("etcd"):
        raise ValueError("broken")
    assert out.getvalue().split()[0] == "FAIL"


def test_a_long_step_says_what_it_is_at() -> None:
    class Told(io.StringIO):
        said = threading.Event()

        def write(self, text: str) -> int:
            if "compiling net/http" in text:
                self.said.set()
            return super().write(text)

    out = Told()
    with Progress(out, beat=0.01).step("build", lambda: "compiling net/http"):
        assert out.said.wait(30)
    assert "build: compiling net/http" in out.getvalue().splitlines()[0]
