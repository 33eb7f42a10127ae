"""Bugs in the copies of results: one is lost, spoilt, made twice, or kept for ever."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named

_STORE: Final = "gateway/store/assets"

COPIES: Final = (
    Mutant(
        "completed_job_enters_no_copy",
        "gateway/store/scripts/lib/assets.lua",
        "copy",
        "    if one.ticket then lanes.enter_soon('mirror', one.ticket, now) end\n",
        "",
        "no worker ever copies the result, and its address dies",
        (named(_STORE, "the_step_that_completes_a_job_enters_its_files"),),
    ),
    Mutant(
        "copy_recorded_by_anybody",
        "gateway/store/scripts/record_copy.lua",
        "",
        "if not lanes.is_newest_dispatch(holder.role, holder.ticket, holder.number) then",
        "if false then",
        "two workers record two copies, and the tenant's bytes count twice",
        (named(_STORE, "a_copy_is_recorded_once_and_only_by_the_holder"),),
    ),
    Mutant(
        "copy_replaced_by_a_late_worker",
        "workers/mirror.py",
        "_Attempt._store",
        "            raise _Stale\n",
        "            pass\n",
        "a worker that wakes up replaces the copy whose hash another has recorded",
        (
            named(
                "promises/results_are_copied",
                "a_frozen_worker_that_wakes_up_does_not_spoil_the_copy_of_another",
            ),
        ),
    ),
    Mutant(
        "tenant_copies_without_limit",
        "gateway/store/scripts/record_copy.lua",
        "",
        "if used + args.place.stored.size > args.most then return 'full' end",
        "if not used then return 'full' end",
        "one tenant's results fill the media store of all",
        (named(_STORE, "nothing_is_written_for_a_tenant_without_room"),),
    ),
    Mutant(
        "half_a_video_is_a_copy",
        "workers/mirror.py",
        "_Attempt._fetch",
        "not await asyncio.to_thread(_is_whole, path)",
        "False",
        "a body that ended early is kept as the video, and the address dies",
        (named("workers/mirror_bad_days", "a_bad_answer_is_no_copy_and_is_asked_for_again"),),
    ),
    Mutant(
        "page_is_a_copy",
        "workers/mirror.py",
        "_Attempt._check_head",
        'if sniff(head) not in EXTENSIONS["image" if picture else "video"]:',
        "if not head:",
        "a page of HTML, sent with a 200, is kept as the video",
        (named("workers/mirror_bad_days", "a_bad_answer_is_no_copy_and_is_asked_for_again"),),
    ),
    Mutant(
        "copy_given_up_while_the_store_is_away",
        "workers/mirror.py",
        "_Attempt._retry_in_ms",
        "if reason is Reason.MEDIA_AWAY or self.asset.dies_at is None:",
        "if self.asset.dies_at is None:",
        "an outage of the bucket loses every result of that time",
        (
            named(
                "workers/mirror_bad_days",
                "a_store_that_is_away_is_waited_for_however_long_it_takes",
            ),
        ),
    ),
    Mutant(
        "copy_given_up_at_one_bad_moment",
        "workers/mirror.py",
        "_Attempt._retry_in_ms",
        "(self.asset.gone or 0) >= _GONE_TRIES",
        "(reason is Reason.GONE and self.asset.tries >= _GONE_TRIES)",
        "after an outage of the bucket one 403 loses the result for good",
        (
            named(
                "workers/mirror_bad_days",
                "other_failures_do_not_count_towards_an_address_that_is_gone",
            ),
        ),
    ),
    Mutant(
        "copies_of_known_jobs_swept",
        "workers/copy_retention.py",
        "CopyRetention.drop_orphans",
        "if name not in known:",
        "if name in known:",
        "the sweep deletes the copies of jobs that exist",
        (
            named(
                "workers/copy_retention",
                "a_job_that_is_removed_gives_its_bytes_back_and_its_files_are_swept",
            ),
        ),
    ),
    Mutant(
        "bytes_of_copies_never_given_back",
        "gateway/store/scripts/forget.lua",
        "",
        "assets.forget(tenant, name, copies)\n",
        "",
        "jobs that were removed count for their tenant for ever, until nothing more is copied",
        (
            named(
                "workers/copy_retention",
                "a_job_that_is_removed_gives_its_bytes_back_and_its_files_are_swept",
            ),
        ),
    ),
)
