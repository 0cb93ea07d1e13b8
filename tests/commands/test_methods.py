import sys

import pytest

from gradlens.commands.main import main


@pytest.fixture
def gradlens(monkeypatch, capfd):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["gradlens", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capfd.readouterr()

    return call


def test_the_table_of_methods(gradlens):
    code, out, _ = gradlens("methods")
    assert code == 0
    assert "dual-phase" in out
    assert "44.8" in out
    code, out, _ = gradlens("methods", "--markdown")
    assert code == 0
    assert "| dual-phase |" in out


def test_one_method_and_an_unknown_name(gradlens):
    code, out, _ = gradlens("methods", "ldam-drw")
    assert code == 0
    assert "published by Cao et al. 2019: 42.04 (imbalance 100); 200 epochs, best on test" in out
    assert "\n  beta=0.9999: Cao et al. 2019, cifar_train.py; Algorithm 1 has 1 / n_c\n" in out
    assert out.endswith("presets (--preset NAME): cifar100-lt\n")
    code, _, err = gradlens("methods", "ldam-drv")
    assert code == 2
    assert "did you mean 'ldam-drw'" in err
