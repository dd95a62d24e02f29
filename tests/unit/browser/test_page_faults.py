from tests.browser.page_faults import PageFaults


def test_an_expected_fault_that_does_not_occur_is_a_problem() -> None:
    faults = PageFaults()
    faults.expect("status of 422")

    assert faults.problems() == ["expected, but not seen: status of 422"]
