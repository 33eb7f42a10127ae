"""Bugs at a job's beginning and end: intake, cancel, settlement, retention, lanes, webhooks."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named, plan

ENDS: Final = (
    Mutant(
        "idempotency_without_fingerprint",
        "gateway/store/scripts/accept.lua",
        "",
        "prior_fingerprint == order.fingerprint and 'replayed' or 'mismatch'",
        "'replayed'",
        "another order under a used key is answered with a job that it never asked for",
        (named("gateway/store/dispatch", "the_same_idempotency_key_with_another_body_is_refused"),),
    ),
    Mutant(
        "idempotency_key_not_kept",
        "gateway/store/scripts/accept.lua",
        "",
        "if claim then redis.call('HSET', claim, 'job', order.name, 'fingerprint', order.fingerprint) end\n",
        "",
        "a client that did not hear our 202 and posts again pays twice",
        (
            plan("plain", "accept.after:1:lose_reply"),
            named("gateway/store/dispatch", "the_same_idempotency_key_and_body_give_the_same_job"),
        ),
    ),
    Mutant(
        "accept_is_not_repeatable",
        "gateway/store/scripts/accept.lua",
        "",
        "if redis.call('EXISTS', job) == 1 then return { 'replayed', order.name } end\n",
        "",
        "a job whose acceptance is asked for again, because an answer was lost, is queued again",
        (named("gateway/store/dispatch", "accepting_the_same_job_again_changes_nothing"),),
    ),
    Mutant(
        "accepted_job_expires",
        "gateway/store/scripts/accept.lua",
        "",
        "set_fields(job, order.fields)\n",
        "set_fields(job, order.fields)\nredis.call('EXPIRE', job, 86400)\n",
        "a job that takes long is gone before it is done",
        (named("gateway/store/transition", "no_key_that_matters_ever_expires_and_all_carry_the_tag"),),
    ),
    Mutant(
        "accepted_although_redis_is_away",
        "gateway/store/client.py",
        "store_errors",
        'raise StoreUnavailable(f"Redis does not answer: {type(error).__name__}") from error',
        'raise RuntimeError(f"Redis does not answer: {type(error).__name__}") from error',
        "an outage is taken for a bug of ours: nobody waits for its end",
        (named("gateway/store/client"),),
    ),
    Mutant(
        "slot_is_given_back_twice",
        "gateway/store/scripts/lib/lanes.lua",
        "free_slot",
        "if redis.call('ZREM', r .. ':slots', ticket) == 0 then return end",
        "redis.call('ZREM', r .. ':slots', ticket)",
        "a call that is repeated because its answer was lost frees the slot of another",
        (named("gateway/store/dispatch", "giving_back_a_slot_twice_frees_one"),),
    ),
    Mutant(
        "slot_is_not_given_back",
        "gateway/store/scripts/lib/lanes.lua",
        "free_slot",
        "if redis.call('HINCRBY', r .. ':inflight', lane, -1) <= 0 then",
        "if redis.call('HINCRBY', r .. ':inflight', lane, 0) <= 0 then",
        "each finished job takes a slot of its tenant along, until none is left",
        (
            plan("plain", "none"),
            named("gateway/store/dispatch", "a_freed_slot_goes_to_the_next_job_of_the_lane"),
        ),
    ),
    Mutant(
        "final_record_is_written_again",
        "gateway/store/scripts/lib/transitions.lua",
        "move",
        "if after == before and transition.final[before] then",
        "if after == '' and transition.final[before] then",
        "what a client was told is not what it reads a minute later",
        (
            named("gateway/store/transition", "a_job_transitions_exactly_as_the_table_says"),
            named("gateway/store/outbox"),
        ),
    ),
    Mutant(
        "completed_may_fail",
        "gateway/store/scripts/lib/transitions.lua",
        "move",
        "after = transition.moves[before]\n",
        "after = transition.moves[before] or transition.moves.submitted\n",
        "a job that was told to be completed fails afterwards",
        (named("gateway/store/transition", "a_job_transitions_exactly_as_the_table_says"),),
    ),
    Mutant(
        "event_id_random",
        "gateway/events.py",
        "_frozen",
        "return Event(event_id(job.id, kind), kind,",
        'return Event(f"evt_{id(body):X}", kind,',
        "a subscriber cannot tell an event that comes again from a new one",
        (named("gateway/events"),),
    ),
    Mutant(
        "outbox_outside_the_script",
        "gateway/settlement.py",
        "Settlement._settle",
        "        result = await self.jobs.apply(job, ending.guarded(guard).also(*effects))\n",
        "        silent = [one for one in effects if not isinstance(one, OweEvent)]\n"
        "        result = await self.jobs.apply(job, ending.guarded(guard).also(*silent))\n"
        "        if result.outcome is Outcome.MOVED and target is not job.state:\n"
        "            owing = AddLateResult({}, event, job.callback_url)\n"
        "            await self.jobs.apply(job, Transition(ending.event, effects=[owing]))\n",
        "a worker that dies between the two leaves a job of whose end nobody is told",
        (plan("plain", "upstream_succeeded.after:1:kill"),),
    ),
    Mutant(
        "cancel_ignores_a_release",
        "gateway/settlement.py",
        "unpaid",
        "(job.state is JobState.SUBMITTING and job.released_at is None)",
        "job.state is JobState.SUBMITTING",
        "a job that was paid for is called canceled, and its video is lost",
        (named("gateway/cancellation"),),
    ),
    Mutant(
        "cancel_does_not_compare_the_release",
        "gateway/settlement.py",
        "Settlement._settle",
        "            guard = guard & Guard.same_release(job)\n",
        "            pass\n",
        "the same, when the release comes between the look and the cancel",
        (named("gateway/cancellation"),),
    ),
    Mutant(
        "settled_without_comparing",
        "gateway/settlement.py",
        "Settlement._settle",
        "ending.guard & Guard.same_state(job)",
        "ending.guard & Guard.same_submission(job)",
        "a job that moved while it was looked at ends as what it was before",
        (named("gateway/settlement"),),
    ),
    Mutant(
        "late_result_is_not_watched_for",
        "gateway/settlement.py",
        "Settlement.fail",
        "if (event is JobEvent.DEADLINE_PASSED or job.resubmits) and self.late_watch_ms:",
        "if self.late_watch_ms < 0:",
        "a video that was paid for and is made in the end is told to nobody",
        (
            plan("plain", "submit.last_byte.before:1:coma"),
            named(
                "workers/confirm_waits", "evidence_that_comes_after_a_job_failed_as_unknown_is_told_beside_it"
            ),
        ),
    ),
    Mutant(
        "late_result_is_told_again",
        "gateway/store/scripts/lib/effects.lua",
        "add_late_result",
        "if redis.call('HSETNX', key, 'late_at', now) == 0 then return false end",
        "redis.call('HSET', key, 'late_at', now)",
        "each look tells the same result as a new one",
        (named("workers/late_result", "two_that_find_the_result_at_once_tell_it_once"),),
    ),
    Mutant(
        "deadlines_are_not_watched",
        "workers/sweep.py",
        "Sweeper.sweep",
        "            await self._deadline(job)\n",
        "            await asyncio.sleep(0)\n",
        "a job that cannot be sent is never over",
        (
            named(
                "workers/deadlines", "a_job_that_waits_in_its_lane_is_given_up_for_free_at_its_start_deadline"
            ),
        ),
    ),
    Mutant(
        "forgets_what_it_still_owes",
        "gateway/store/scripts/forget.lua",
        "",
        "if owed[1] == order.pending then return not_yet() end",
        "if owed[1] == '' then return not_yet() end",
        "a subscriber that was away for long is never told",
        (
            named(
                "gateway/store/retention",
                "a_job_that_still_owes_a_delivery_is_kept_and_looked_at_again_in_an_hour",
            ),
        ),
    ),
    Mutant(
        "forgets_what_is_watched",
        "gateway/store/scripts/forget.lua",
        "",
        "if is_watched(key, now) then return not_yet() end\n",
        "",
        "a late result finds no job any more",
        (named("gateway/store/retention", "a_job_that_is_watched_for_a_late_result_is_kept"),),
    ),
    Mutant(
        "delivery_is_tried_once",
        "workers/deliver.py",
        "DeliveryWorker._decide",
        "        if delay is not None:\n            return Decision(DeliveryEvent.ATTEMPT_FAILED, delay)\n",
        "",
        "a subscriber that restarts just then is never told",
        (
            plan("plain", "deliver.after:1:lose_reply"),
            named("workers/deliver", "a_failed_attempt_is_made_again_with_the_same_id_and_a_new_signature"),
        ),
    ),
    Mutant(
        "lane_is_not_fair",
        "gateway/store/scripts/lib/dispatching.lua",
        "dispatch_role",
        "redis.call('ZADD', r .. ':fair', served + turn_cost(r, lane, special), lane)",
        "redis.call('ZADD', r .. ':fair', served, lane)",
        "one tenant's thousand jobs hold up everybody else's one",
        (named("promises/mutants/gaps_lanes", "one_slot_goes_to_two_waiting_tenants_by_turns"),),
    ),
    Mutant(
        "redirects_are_followed",
        "gateway/delivery/http.py",
        "Deliverer._request",
        "allow_redirects=False",
        "allow_redirects=True",
        "a subscriber sends our request, signature and all, wherever it likes",
        (named("gateway/delivery/http", "a_redirect_is_not_followed"),),
    ),
    Mutant(
        "address_checked_before_the_lookup_only",
        "gateway/delivery/guard.py",
        "Guard.__call__",
        "        if not self.permits(host, port, plain=_plain_http.get()):\n            # The same",
        "        if host is None:\n            # The same",
        "a name that answers differently the second time reaches what it must not",
        (
            named(
                "gateway/delivery/guard_dial",
                "an_address_that_passed_the_lookup_is_checked_again_at_the_dial",
            ),
        ),
    ),
    Mutant(
        "decision_without_audit",
        "gateway/store/scripts/lib/effects.lua",
        "apply_transition",
        "  if effects.record_audit and went_on then write_audit(now, effects.record_audit) end\n",
        "",
        "a job is paid for again, and nobody knows who decided it",
        (named("gateway/web/ops/audit_steps", "an_unknown_job_is_resolved_in_the_step_that_audits_it"),),
    ),
    Mutant(
        "redelivery_without_audit",
        "gateway/store/scripts/redeliver.lua",
        "",
        "  if order.audit then write_audit(now, order.audit, 'number', begun) end\n",
        "",
        "webhooks are sent again, and nobody knows who did it",
        (
            named(
                "gateway/web/ops/audit_steps",
                "dead_letters_are_redelivered_in_the_step_that_audits_it",
            ),
        ),
    ),
)
