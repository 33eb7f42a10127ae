"""Bugs in what becomes of an unknown outcome, and in what a callback may do."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named, plan

EVIDENCE: Final = (
    Mutant(
        "grace_ignores_the_witness",
        "workers/evidence.py",
        "if self.settings.public_url:\n            witness",
        "if not self.settings.public_url:\n            witness",
        "silence is taken for evidence although no callback could have come through",
        (named("workers/evidence", "while_callbacks_cannot_come_the_window_does_not_end"),),
    ),
    Mutant(
        "grace_counts_shut_time",
        "workers/evidence.py",
        "began = max(began, witness.since)",
        "began = min(began, witness.since)",
        "the first probe after an outage ends every window that the outage filled",
        (named("workers/evidence", "a_gap_begins_the_window_again"),),
    ),
    Mutant(
        "evidence_does_not_fence_a_resubmission",
        "gateway/resolution.py",
        'expect={"epoch": job.epoch, "evidence": None},',
        'expect={"epoch": job.epoch},',
        "a job is sent again although a callback has just proved that it was accepted",
        (named("workers/evidence", "evidence_that_comes_just_before_it_is_sent_again_fences_that"),),
    ),
    Mutant(
        "evidence_does_not_keep_from_resubmitting",
        "workers/evidence.py",
        "if job.evidence is not None or job.resubmits",
        "if job.resubmits",
        "a job that is proved to be accepted is looked at for ever instead of ended",
        (named("workers/evidence", "evidence_forbids_to_send_it_again"),),
    ),
    Mutant(
        "held_is_sent_again",
        "workers/evidence.py",
        "elif policy is OnUnknown.RESUBMIT and await",
        "elif await",
        "a job is paid for twice whose owner asked for the opposite",
        (
            plan("plain", "release.after:1:kill"),
            named("workers/confirm_waits", "an_unknown_job_fails_after_its_grace_and_is_never_sent_again"),
        ),
    ),
    Mutant(
        "resubmits_without_a_count",
        "workers/evidence.py",
        " or job.resubmits >= self.settings.resubmit_max:",
        " or job.resubmits < 0:",
        "a job whose answers are always lost is paid for until its deadline",
        (named("workers/evidence", "a_job_is_sent_again_no_more_often_than_it_may_be"),),
    ),
    Mutant(
        "resubmits_without_a_budget",
        "gateway/store/scripts/transition.lua",
        "      redis.call('HINCRBY', spent, budget[2], 1)\n",
        "",
        "an hour of lost answers pays twice for everything",
        (named("workers/evidence", "a_tenant_s_budget_of_the_day_is_spent_once_and_others_have_their_own"),),
    ),
    Mutant(
        "unknown_is_not_looked_at",
        "workers/submit.py",
        "            poll_in_ms=evidence_ms(job, self.settings),\n",
        "",
        "an unknown outcome lies until the total deadline",
        (
            plan("silent", "submit.answered:1:lose_reply"),
            named("workers/submit_outcomes", "an_unknown_outcome_keeps_its_slot_and_waits_for_evidence"),
        ),
    ),
    Mutant(
        "no_poll_backstop",
        "workers/submit.py",
        "poll_in_ms=0 if over else int(self.settings.poll_first_seconds * 1000),",
        "poll_in_ms=0 if over else None,",
        "a callback that is lost is a result that is lost",
        (
            plan("silent", "none"),
            named("workers/submit_outcomes", "an_accepted_job_keeps_its_slot_and_is_looked_at_later"),
        ),
    ),
    Mutant(
        "drop_loses_a_look",
        "gateway/store/scripts/postpone.lua",
        "redis.call('SISMEMBER', P .. ARGV[1] .. ':again', ARGV[2]) == 0 then",
        "redis.call('SISMEMBER', P .. ARGV[1] .. ':again', ARGV[2]) >= 0 then",
        "a callback that came while a look was under way is forgotten with it",
        (named("workers/confirm_tasks", "a_look_that_is_asked_for_while_the_last_one_is_dropped_is_made"),),
    ),
    Mutant(
        "callback_by_task_id_only",
        "gateway/store/scripts/callback.lua",
        "local key, now = KEYS[1], now_ms()\n",
        "local known = order.task and redis.call('GET', P .. 'task:' .. order.task)\n"
        "if not known then return 'repeated' end\n"
        "local key, now = P .. 'job:' .. known, now_ms()\n",
        "a callback tells nothing of the job whose answer was lost, the one that needs it",
        (
            plan("plain", "submit.answered:1:lose_reply"),
            named("gateway/store/callback", "a_callback_without_a_task_is_evidence_for_an_unknown_job"),
        ),
    ),
    Mutant(
        "a_task_may_be_two_jobs",
        "gateway/store/scripts/lib/records.lua",
        "  if owner and owner ~= job then\n    local record",
        "  if owner == '' then\n    local record",
        "two clients are given one video",
        (
            named(
                "gateway/store/callback_unexplained",
                "an_orphan_that_names_another_job_s_task_is_not_built_up",
            ),
            named(
                "workers/confirm_whose",
                "of_two_jobs_with_one_task_each_is_looked_at_and_only_the_owner_gets_the_video",
            ),
        ),
    ),
    Mutant(
        "callback_outranks_our_own_answer",
        "gateway/store/scripts/lib/records.lua",
        "if known and claimed and not note_earlier(key, nil, task) then return false end",
        "if known and not claimed then return note_earlier(key, nil, task) end",
        "who can write a body says which task is whose",
        (
            named(
                "workers/submit_gate", "the_answer_to_our_own_request_outranks_the_task_that_a_callback_named"
            ),
        ),
    ),
    Mutant(
        "first_of_two_claims_wins",
        "gateway/store/scripts/callback.lua",
        "if not answered then contest(",
        "if answered then contest(",
        "an upstream that crosses two callbacks swaps two customers' videos",
        (named("workers/confirm_whose", "a_task_that_callbacks_name_for_two_jobs_is_given_to_neither"),),
    ),
    Mutant(
        "callback_is_believed_at_once",
        "workers/confirm.py",
        "        return max(0, wait - ",
        "        return min(0, wait - ",
        "the answer that says whose the task is comes too late",
        (
            named(
                "workers/confirm_whose",
                "an_answer_that_comes_while_it_waits_gives_the_task_to_its_rightful_owner",
            ),
        ),
    ),
    Mutant(
        "earlier_answer_is_no_answer",
        "gateway/store/scripts/lib/records.lua",
        "for epoch = 1, tonumber(",
        "for epoch = 2, tonumber(",
        "a callback takes a task away that the upstream's own answer gave",
        (
            named(
                "gateway/store/callback_contested",
                "a_task_that_an_answer_named_cannot_be_contested_even_by_an_earlier_submission_s",
            ),
        ),
    ),
    Mutant(
        "token_of_any_submission",
        "gateway/callbacks/tokens.py",
        "ref.tenant, ref.job_id, _submission(ref)))",
        "ref.tenant, ref.job_id))",
        "who has seen one callback URL can make that of the next submission",
        (named("gateway/callbacks/tokens", "the_mac_is_bound_to_every_part"),),
    ),
    Mutant(
        "looked_at_with_any_key",
        "gateway/jobs.py",
        "self.elsewhere.get(task_id, self.account)",
        "self.account",
        "a task that another account has is not found, and its job is given up though it was paid for",
        (
            named(
                "gateway/store/accounts",
                "a_task_of_an_earlier_submission_stays_with_the_account_that_made_it",
            ),
        ),
    ),
    Mutant(
        "text_is_compared",
        "gateway/callbacks/signature.py",
        'if not hmac.compare_digest(right, found.get(_SIGNATURE, b"")):',
        'if not hmac.compare_digest(right.decode(), found.get(_SIGNATURE, b"").decode("latin-1")):',
        "one byte beyond ASCII is a 500, and the callback is lost",
        (named("gateway/callbacks/signature"),),
    ),
    Mutant(
        "signature_used_for_ever",
        "gateway/store/scripts/callback.lua",
        "if again or order.distrusted then",
        "if order.distrusted then",
        "who has seen a signed callback can send it as often as they like",
        (named("gateway/store/callback", "a_nonce_that_was_seen_before_only_makes_a_look_due"),),
    ),
    Mutant(
        "body_is_claimed_in_confirm_mode",
        "gateway/callbacks/claims.py",
        'settings.callback_trust != "body" or snapshot is None',
        "snapshot is None",
        "one of the two locks before a body that is believed",
        (named("gateway/callbacks/claims", "nothing_is_claimed_when_bodies_are_hints"),),
    ),
    Mutant(
        "body_is_believed_in_confirm_mode",
        "workers/confirm.py",
        'if self.settings.callback_trust != "body" or job.claimed is None:',
        "if job.claimed is None:",
        "the other lock: a client gets whatever video the sender of a callback named",
        (named("workers/evidence_listed", "a_body_is_not_believed_unless_that_was_chosen"),),
    ),
    Mutant(
        "acknowledged_before_it_is_kept",
        "gateway/web/api/callbacks.py",
        "            error.retry_after_seconds = _RETRY_SECONDS\n            raise\n",
        "            return\n",
        "a callback that met an outage of Redis is never sent again",
        (named("gateway/web/api/callbacks", "a_callback_while_redis_is_away_is_asked_to_come_again"),),
    ),
    Mutant(
        "journal_is_not_synced",
        "gateway/callbacks/journal_files.py",
        "        rest = rest[os.write(file, rest) :]\n    os.fdatasync(file)\n",
        "        rest = rest[os.write(file, rest) :]\n",
        "a loss of power takes callbacks that were acknowledged",
        (
            named("gateway/callbacks/journal", "an_append_returns_when_its_line_is_on_disk"),
            named("gateway/callbacks/journal_faults", "a_sync_that_fails_is_a_failure"),
        ),
    ),
    Mutant(
        "journal_is_removed_before_it_is_replayed",
        "gateway/callbacks/journal.py",
        "    log = structlog.get_logger().bind(file=path.name)\n",
        "    log = structlog.get_logger().bind(file=path.name)\n    path.unlink()\n",
        "an outage in the middle of a replay takes the rest of the file",
        (named("gateway/callbacks/journal", "a_file_stays_until_all_of_it_was_replayed"),),
    ),
    Mutant(
        "rollback_is_overlooked",
        "gateway/store/scripts/callback.lua",
        "if order.epoch > epoch or (state == order.armed",
        "if order.epoch < 0 or (state == order.armed",
        "Redis lost what it acknowledged, and a job is sent again of which a callback says that it was sent",
        (
            named(
                "gateway/store/callback_unexplained",
                "a_callback_of_a_submission_yet_to_come_is_a_rollback_and_the_job_is_adopted",
            ),
        ),
    ),
    Mutant(
        "orphan_is_overlooked",
        "gateway/store/scripts/callback.lua",
        "if order.task and not order.distrusted and bind(",
        "if order.task and order.distrusted and bind(",
        "a job that Redis lost, and that was paid for, is never built up again",
        (named("gateway/store/callback_unexplained", "an_orphan_that_names_its_task_is_built_up_again"),),
    ),
    Mutant(
        "late_answer_is_thrown_away",
        "gateway/lifecycle.py",
        "            E.UPSTREAM_BUSY: S.QUEUED,\n            E.UPSTREAM_ACCEPTED",
        "            E.UPSTREAM_ACCEPTED",
        "a job that is proved to be unpaid waits out its grace and fails",
        (
            named(
                "workers/submit_gate",
                "a_late_answer_that_proves_a_submission_unpaid_queues_or_fails_it_at_once",
            ),
        ),
    ),
)
