"""Labels lie beside their points, inside the picture, and on nothing else where there is room."""

from tasks.release.labels import Box, free_place

FRAME: Box = (0.0, 0.0, 400.0, 300.0)


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def test_the_first_choice_is_above_to_the_right_without_a_line() -> None:
    label = free_place(200, 150, "q8_0", FRAME, [])
    assert (label.anchor, label.leader) == ("start", "")
    assert label.box[0] > 200 and label.box[3] < 160


def test_at_the_right_edge_it_lies_to_the_left() -> None:
    label = free_place(395, 150, "gguf-q8_0", FRAME, [])
    assert label.anchor == "end" and label.box[2] < 395


def test_close_points_get_labels_that_do_not_cover_each_other() -> None:
    taken: list[Box] = []
    for step in range(6):
        box = free_place(200 + step, 150 + step, f"target-{step}", FRAME, taken).box
        assert not any(overlap(box, other) for other in taken)
        assert FRAME[0] <= box[0] and FRAME[1] <= box[1] and box[2] <= FRAME[2] and box[3] <= FRAME[3]
        taken.append(box)


def test_a_label_that_lies_farther_away_has_a_line_to_its_point() -> None:
    around = [(150.0, 132.0, 250.0, 168.0)]
    label = free_place(200, 150, "q8_0", FRAME, around)
    assert label.leader.startswith("M200.0,150.0L") and not overlap(label.box, around[0])
