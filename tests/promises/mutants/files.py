"""Bugs in the media store: what is away is taken for lost, what a crash left stays, and secrets are shown."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named

FILES: Final = (
    Mutant(
        "a_wrong_bucket_is_a_lost_file",
        "gateway/media/bucket.py",
        "BucketStore._check_marker",
        "except FileNotFoundError:",
        "except ZeroDivisionError:",
        "one wrong setting of a worker, and all waiting jobs with files fail",
        (
            named(
                "gateway/media/bucket",
                "a_wrong_bucket_or_prefix_is_an_outage_and_not_a_lost_file",
            ),
        ),
    ),
    Mutant(
        "the_marker_is_written_once",
        "gateway/media/bucket.py",
        "BucketStore.mark",
        " or now - self._marked_at > _MARKER_SECONDS",
        "",
        "after 30 days a rule of the bucket takes the marker, and each missing file is an outage",
        (named("gateway/media/bucket", "the_marker_is_written_anew_each_day_and_not_with_each_file"),),
    ),
    Mutant(
        "a_worker_marks_its_folder",
        "gateway/media/folder.py",
        "FolderStore._mark",
        "                if not self._may_make_marker:\n                    raise _unmarked()\n",
        "",
        "a worker without the volume takes each file that it misses for lost, and the jobs fail",
        (
            named(
                "gateway/media/conformance",
                "only_a_gateway_says_which_place_is_the_right_one",
            ),
        ),
    ),
    Mutant(
        "a_worker_marks_its_bucket",
        "gateway/media/bucket.py",
        "BucketStore.mark",
        "if self._makes_marker:",
        "if True:",
        "a worker with a wrong prefix takes each file that it misses for lost, and the jobs fail",
        (
            named(
                "gateway/media/conformance",
                "only_a_gateway_says_which_place_is_the_right_one",
            ),
        ),
    ),
    Mutant(
        "the_store_is_looked_at_once",
        "gateway/media/opening.py",
        "_keep_looking",
        "await asyncio.sleep(_PAUSE_SECONDS)",
        "await asyncio.Event().wait()",
        "the store goes away, jobs with files wait, and nobody is told",
        (named("gateway/media/tending", "a_store_that_goes_away_and_comes_back_is_logged_once_each"),),
    ),
    Mutant(
        "what_the_bucket_said_is_shown",
        "gateway/media/bucket.py",
        "_done",
        '{what}: {reason}") from None',
        '{what}: {error}") from None',
        "clients and logs see the address of the bucket and the id of our key",
        (named("gateway/media/bucket", "a_bucket_that_is_away_is_unavailable"),),
    ),
    Mutant(
        "scratch_files_stay",
        "gateway/media/scratch.py",
        "remove_older",
        " and _modified_at(entry) < before",
        " and _modified_at(entry) < 0",
        "what killed processes were writing fills the disk",
        (named("gateway/media/conformance", "scratch_is_private_and_the_sweep_takes_what_is_old"),),
    ),
    Mutant(
        "a_sweep_lists_everything",
        "gateway/media/bucket.py",
        "BucketStore.entries",
        "                if not name.startswith(starting):  # lists are sorted\n"
        "                    return [Entry(*age) for age in ages.items()]\n",
        "",
        "each sweep lists all uploads and all results of the bucket, which costs money",
        (
            named(
                "gateway/media/conformance",
                "entries_are_names_with_the_time_of_their_newest_object",
            ),
        ),
    ),
)
