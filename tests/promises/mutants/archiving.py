"""Bugs in the archive: a finished job is lost, changed, kept for ever, or moved too early."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named

_STORE: Final = "gateway/store/archive"
_READ: Final = "gateway/store/archive_reader"

ARCHIVING: Final = (
    Mutant(
        "archived_although_changed",
        "gateway/store/scripts/archive.lua",
        "",
        "if redis.sha1hex(table.concat(parts)) ~= args.seen then return 'changed' end\n",
        "",
        "what came while the object was written is dropped, and is nowhere",
        (named(_STORE, "what_changes_while_it_is_archived_is_not_lost"),),
    ),
    Mutant(
        "archived_although_it_may_change",
        "gateway/store/scripts/lib/finished.lua",
        "may_change",
        "  if tasks.is_watched(key, now) or not assets.are_settled(name, variants) then return true end\n",
        "",
        "a late result that is paid for finds a job without its watch",
        (named(_STORE, "a_job_that_may_still_change_stays_whole"),),
    ),
    Mutant(
        "archive_not_read_again",
        "gateway/store/archive_writer.py",
        "RedisArchive._write",
        "        if kept != raw:\n",
        "        if False:\n",
        "a media store that keeps nothing becomes the only place of every finished job",
        (named(_STORE, "an_object_that_does_not_read_back_is_no_archive"),),
    ),
    Mutant(
        "lost_archive_is_a_404",
        "gateway/store/archive_reader.py",
        "Archived._read",
        'raise ArchiveLost(f"the archive of {job_id} cannot be read; tell the operator") from None',
        "raise",
        "clients take a job that a backup still has for removed",
        (named(_STORE, "an_archived_job_whose_object_cannot_be_read_is_an_outage_and_not_missing"),),
    ),
    Mutant(
        "long_payload_in_the_document",
        "gateway/store/archive_document.py",
        "dump",
        "len(document.payload) > EVENT_PAYLOAD_CHARACTERS",
        "False",
        "one list of archived jobs takes 400 MiB, and a tenant ends the gateway with canceled jobs",
        (named(_READ, "payloads_around_the_limit_of_events_read_as_before"),),
    ),
    Mutant(
        "held_documents_without_bound",
        "gateway/store/archive_reader.py",
        "Archived._hold",
        "while self._held_bytes > _HELD_BYTES:",
        "while False:",
        "each archived job that is read once stays in memory for ever",
        (named(_READ, "the_bytes_that_are_held_are_bounded_whatever_the_documents_say"),),
    ),
    Mutant(
        "forgotten_job_is_lost",
        "gateway/store/archive_reader.py",
        "Archived._read",
        "if isinstance(error, NotFound) and await self._is_forgotten(job_id):",
        "if False:",
        "a job that is forgotten while it is read is an outage, and alarms the operator",
        (named(_READ, "a_job_that_is_forgotten_while_it_is_read_is_gone_and_not_lost"),),
    ),
    Mutant(
        "epoch_of_archived_jobs_dropped",
        "gateway/store/archive_document.py",
        "",
        '"epoch", "task_id", "earlier",',
        '"task_id", "earlier",',
        "each late callback of an archived job raises the alarm that Redis lost writes",
        (named(_STORE, "a_late_callback_of_an_archived_job_is_taken_as_if_it_were_not_archived"),),
    ),
    Mutant(
        "task_of_archived_jobs_dropped",
        "gateway/store/archive_document.py",
        "",
        '"epoch", "task_id", "earlier",',
        '"epoch", "earlier",',
        "the index of a task outlives its job for ever",
        (named(_STORE, "the_object_goes_after_its_job_and_waits_for_the_media_store"),),
    ),
    Mutant(
        "objects_of_forgotten_jobs_stay",
        "gateway/store/scripts/forget.lua",
        "",
        "if archived then redis.call('ZADD', finished.GONE, now, name) end\n",
        "",
        "what a client's prompt said is kept after its retention",
        (named(_STORE, "the_object_goes_after_its_job_and_waits_for_the_media_store"),),
    ),
    Mutant(
        "objects_of_live_jobs_swept",
        "gateway/store/archive_cleanup.py",
        "ArchiveCleanup._drop_unknown",
        "if not exists]",
        "]",
        "the sweep deletes the only copy of a job that exists",
        (named(_STORE, "only_objects_without_a_job_are_swept_and_only_after_every_job_must_be_gone"),),
    ),
    Mutant(
        "archived_for_old_versions_too",
        "workers/archive.py",
        "Archiver._may_move",
        "if not self.archive.readable_by_all:",
        "if False:",
        "during a rolling update old processes answer 500 for archived jobs",
        (
            named(
                "workers/archive",
                "nothing_is_moved_unless_that_is_wanted_and_every_process_can_read_it",
            ),
        ),
    ),
    Mutant(
        "walk_skips_jobs_of_one_millisecond",
        "gateway/store/finished_walk.py",
        "FinishedWalk.due",
        "names += await self._redis.zrangebyscore(keys.FINISHED, until, until)",
        "pass",
        "finished jobs stay in Redis for ever, unseen",
        (named("gateway/store/finished_walk", "each_finished_job_is_seen_once_in_order"),),
    ),
    Mutant(
        "claim_of_another_job_forgotten",
        "gateway/store/scripts/forget_claim.lua",
        "",
        "if redis.call('HGET', claim, 'job') == args.name then redis.call('DEL', claim) end",
        "redis.call('DEL', claim)",
        "the key of a newer job is forgotten, and its repeated request is paid for twice",
        (named("gateway/store/retention", "an_idempotency_key_can_go_before_its_job"),),
    ),
)
