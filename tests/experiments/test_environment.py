"""What experiments record of the machine: no folder of it."""


def test_recorded_arguments_name_no_folder_of_this_machine(load_experiment):
    environment = load_experiment("environment")
    script = str(environment.PROJECT / "experiments" / "train_cifar.py")
    given = [
        "--data",
        "/home/me/cifar",
        "--out",
        "/scratch/runs/lt",
        "--epochs",
        "15",
        "--runs",
        "mine",
        script,
        "--balanced",
    ]
    kept = [
        "--data",
        "DATA",
        "--out",
        "lt",
        "--epochs",
        "15",
        "--runs",
        "RUNS",
        "experiments/train_cifar.py",
        "--balanced",
    ]
    assert environment.public_arguments(given) == kept
