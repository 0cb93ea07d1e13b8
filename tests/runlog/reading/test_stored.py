"""Attributes that read a column, or the events, whenever they are asked for."""

from gradlens.runlog.reading.stored import FromColumn, FromEvents


class Folder:
    loss = FromColumn("total_loss", "The loss.")
    kinds = FromEvents(lambda events: [event["kind"] for event in events], "Kinds of events.")

    def __init__(self):
        self.columns = {"total_loss": [1.0]}
        self.events = [{"kind": "phase"}]

    def column(self, name):
        return self.columns[name]

    def _events_in_force(self):
        return self.events


def test_each_object_has_its_own_and_sees_what_is_new():
    one, other = Folder(), Folder()
    one.columns["total_loss"] = [1.0, 2.0]
    one.events.append({"kind": "mark"})
    assert (one.loss, other.loss) == ([1.0, 2.0], [1.0])
    assert (one.kinds, other.kinds) == (["phase", "mark"], ["phase"])


def test_the_class_shows_what_they_mean():
    assert Folder.loss.__doc__ == "The loss."
    assert Folder.kinds.__doc__ == "Kinds of events."
