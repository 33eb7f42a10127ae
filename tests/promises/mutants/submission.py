"""Bugs on the way from a lane to the last byte of a paid request, and in reading its answer."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import LAYER_1, Mutant, named, plan

SUBMISSION: Final = (
    Mutant(
        "no_gate",
        "workers/release_gate.py",
        "if not await self.jobs.release(self.job):",
        "if self.job.final:",
        "money is spent that no record knows of: whoever finds the job after a crash sends it again",
        (
            plan("plain", "none"),
            named("workers/submit_gate", "the_release_is_on_record_before_the_last_byte_goes_out"),
        ),
    ),
    Mutant(
        "last_byte_before_the_gate",
        "gateway/upstream/gated.py",
        "        if start == last:\n            await self._pass_gate()",
        "        if start == 0:\n            await self._pass_gate()",
        "the upload follows the release: a worker that dies in it leaves an unknown that cost nothing",
        (named("gateway/upstream/http_gate", "a_server_that_does_not_read_ends_the_upload_at_its_deadline"),),
    ),
    Mutant(
        "gate_is_never_asked",
        "gateway/upstream/gated.py",
        "            await self._gate()\n",
        "",
        "the request goes out whatever the record says",
        (
            named(
                "gateway/upstream/http_gate", "an_error_of_the_gate_is_raised_and_the_last_byte_is_not_sent"
            ),
        ),
    ),
    Mutant(
        "release_without_fence",
        "gateway/store/scripts/release.lua",
        "if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] or (found[4] or '') ~= ARGV[3] then return 0 end",
        "if not found[1] then return 0 end",
        "a worker that lost its claim, or whose job was canceled, sends all the same",
        (
            plan("plain", "claimed.after:1:freeze"),
            named("gateway/store/transition", "the_gate_stays_shut_for_an_epoch_that_lost_its_claim"),
        ),
    ),
    Mutant(
        "release_without_epoch",
        "gateway/store/scripts/release.lua",
        " or found[2] ~= ARGV[2] or (found[4] or '') ~= ARGV[3] then",
        " then",
        "a worker that was thought dead sends beside the one that took over",
        (
            plan("plain", "claimed.after:1:freeze,claimed.after:1:freeze"),
            named("gateway/store/transition", "the_gate_stays_shut_for_an_epoch_that_lost_its_claim"),
        ),
    ),
    Mutant(
        "release_without_run",
        "gateway/store/scripts/release.lua",
        " or (found[4] or '') ~= ARGV[3] then",
        " then",
        "a Redis that was rolled back hands an epoch out twice, and both submissions are let go",
        (named("workers/release_gate", "of_two_claims_with_one_epoch_only_the_recorded_one_is_released"),),
    ),
    Mutant(
        "proof_does_not_outweigh_a_denial",
        "workers/submit.py",
        """guarded = replace(move, expect={"epoch": job.epoch, "run": job.run, "evidence": None})
        answer = await persist(lambda: self.jobs.apply(job, guarded), self.environment)
        if answer.outcome is not Outcome.FENCED:""",
        """guarded = replace(move, expect={"epoch": job.epoch, "run": job.run})
        answer = await persist(lambda: self.jobs.apply(job, guarded), self.environment)
        if answer.outcome is not Outcome.FENCED:""",
        "a job that a callback proved to be paid for is sent again because its late answer says busy",
        (
            named(
                "workers/gate_fences",
                "an_answer_that_denies_a_task_is_not_believed_when_a_callback_proved_one",
            ),
        ),
    ),
    Mutant(
        "start_deadline_is_not_asked_at_the_gate",
        "gateway/store/scripts/release.lua",
        "if found[5] and now >= tonumber(found[5]) then return 0 end",
        "",
        "a worker frozen across the start deadline pays for a job that its client has given up",
        (
            named(
                "workers/gate_fences",
                "a_job_whose_time_to_start_is_over_is_not_released_although_no_sweep_came",
            ),
        ),
    ),
    Mutant(
        "no_self_fence",
        "workers/release_gate.py",
        "if self.environment.monotonic() - began > _RELEASE_SECONDS:",
        "if self.environment.monotonic() - began < 0:",
        "a worker frozen in its release sends when it thaws, long after its job was called unknown",
        (named("workers/submit_gate", "a_release_that_took_too_long_to_answer_is_not_acted_upon"),),
    ),
    Mutant(
        "armed_is_called_unknown",
        "workers/sweep.py",
        "if job.released_at is None:  # the last byte never went out",
        "if job.epoch == 0:",
        "a job that cost nothing waits for evidence that cannot come, and fails",
        (
            LAYER_1,
            named(
                "workers/submit_crashes",
                "a_worker_that_died_before_the_release_cost_nothing_and_the_job_goes_again",
            ),
        ),
    ),
    Mutant(
        "released_is_called_queued",
        "workers/sweep.py",
        "if job.released_at is None:  # the last byte never went out",
        "if job.epoch > 0:",
        "a job that may have been paid for is sent again",
        (
            plan("plain", "submit.last_byte.before:1:coma"),
            named(
                "workers/submit_crashes",
                "a_worker_that_died_after_the_release_leaves_an_unknown_that_nobody_sends_again",
            ),
        ),
    ),
    Mutant(
        "5xx_is_sent_again",
        "gateway/upstream/vtrix.py",
        'return Unknown(f"{status}: {error.message}")',
        'return Busy(f"{status}: {error.message}")',
        "a 502 of a proxy says nothing of the task behind it: it may have been made and charged",
        (named("gateway/upstream/vtrix", "the_status_decides_the_outcome"),),
    ),
    Mutant(
        "lost_answer_is_sent_again",
        "gateway/upstream/http.py",
        'return Unknown(f"no complete answer: {answer}")',
        'return Busy(f"no complete answer: {answer}")',
        "a connection that broke after the last byte says nothing of the task behind it",
        (named("gateway/upstream/http_submit", "after_the_gate_anything_but_a_complete_answer_is_unknown"),),
    ),
    Mutant(
        "keep_alive_on",
        "gateway/upstream/http.py",
        "answer = await exchange(once, paid, limit",
        "answer = await exchange(self._queries, paid, limit",
        "a paid request meets a connection that the server is closing, and nobody knows what became of it",
        (named("gateway/upstream/http_submit"),),
    ),
    Mutant(
        "epoch_not_bumped",
        "gateway/store/jobs.py",
        'add={"epoch": 1},',
        'add={"epoch": 0},',
        "two submissions cannot be told apart: no fence holds",
        (LAYER_1, named("gateway/store/transition", "an_older_epoch_is_fenced_and_frees_no_slot")),
    ),
    Mutant(
        "claim_keeps_an_old_release",
        "gateway/store/jobs.py",
        'unset=["released_at", "evidence"],',
        'unset=["evidence"],',
        "a submission counts as released before it was: the sweep calls it unknown, a cancel comes too late",
        (plan("resubmit", "release.after:1:kill"),),
    ),
    Mutant(
        "claim_is_not_repeatable",
        "gateway/store/scripts/transition.lua",
        "if redis.call('HGET', key, 'run') == order.run then",
        "if order.run == '' then",
        "a claim whose answer was lost is asked again, refused, and its job lies until the lease runs out",
        (LAYER_1, named("workers/confirm_tasks", "the_same_claim_made_again_goes_on_and_another_is_refused")),
    ),
    Mutant(
        "any_dispatch_may_act",
        "gateway/store/scripts/lib/lanes.lua",
        "return redis.call('HGET', P .. role .. ':holders', ticket) == tostring(ring)",
        "return redis.call('HEXISTS', P .. role .. ':holders', ticket) == 1 or tostring(ring) == ''",
        "a worker that was thought dead acts for the one that took over",
        (LAYER_1, named("gateway/store/transition", "only_the_newest_dispatch_may_claim")),
    ),
    Mutant(
        "sweep_does_not_compare",
        "workers/sweep.py",
        '            "epoch": job.epoch,\n            "released_at": job.released_at,\n',
        "",
        "a submission that is released while the sweep looks is queued again, and paid for twice",
        (named("workers/sweep", "a_submission_that_is_released_while_the_sweep_looks_is_not_called_free"),),
    ),
    Mutant(
        "stop_cancels_what_is_paid",
        "workers/release_gate.py",
        "self._closed = not self._entered\n",
        "self._closed = True\n",
        "every restart leaves submissions behind whose answers nobody waits for",
        (named("workers/submit_stop", "a_gate_that_was_entered_is_not_closed_any_more"),),
    ),
    Mutant(
        "lease_is_not_renewed",
        "workers/leases.py",
        "await jobs.renew(ticket)",
        "await asyncio.sleep(0)",
        "a slow upload outlives its lease: the job is given to another worker, again and again",
        (named("workers/submit_gate", "the_lease_is_kept_while_the_request_is_under_way"),),
    ),
    Mutant(
        "poison_is_sent_for_ever",
        "workers/sweep.py",
        "if job.released_at is None and job.lost + 1 >= self.settings.poison_limit:",
        "if job.released_at is None and job.lost + 1 < 0:",
        "a job that kills whoever takes it up kills all workers, one after another",
        (named("workers/deadlines", "a_job_with_which_too_many_workers_died_fails_for_free"),),
    ),
    Mutant(
        "account_not_parked",
        "gateway/store/scripts/lib/account_health.lua",
        "    park(account, now, verdict[3], verdict[4], verdict[5], 'upstream')\n",
        "",
        "an account out of credit is asked for every job that waits, and may be blocked for that",
        (named("gateway/store/account", "a_refused_account_lets_nothing_more_out_and_says_why"),),
    ),
    Mutant(
        "refusal_parks_main",
        "gateway/store/scripts/lib/account_health.lua",
        "    park(account, now, verdict[3]",
        "    park(MAIN, now, verdict[3]",
        "the account without credit is asked for every job, and the one that pays is not asked at all",
        (named("gateway/store/accounts", "the_event_says_which_account_it_was"),),
    ),
    Mutant(
        "paid_by_another_account",
        "gateway/store/scripts/lib/account_health.lua",
        "(not pinned or one.name == own)",
        "one.name",
        "one account has a task that nobody looks at any more, and another pays for the job again",
        (
            named(
                "gateway/store/accounts",
                "what_may_have_been_paid_waits_for_its_own_account_and_nobody_behind_it",
            ),
            named("promises/properties/jobs"),
        ),
    ),
    Mutant(
        "resubmission_is_free",
        "gateway/store/scripts/lib/account_slots.lua",
        "for i = 2, 6 do spent",
        "for i = 2, 5 do spent",
        "a job that is sent again without proof may be paid for by two accounts",
        (
            named(
                "gateway/store/accounts",
                "a_second_submission_that_cost_nothing_makes_the_job_no_freer",
            ),
        ),
    ),
    Mutant(
        "slot_of_no_account",
        "gateway/store/scripts/lib/lanes.lua",
        "  if role == 'submit' then unseat(ticket) end\n",
        "",
        "an account counts slots that nobody holds, until it has none left",
        (named("gateway/store/accounts", "one_at_a_time_they_are_shared_out_by_weight_too"),),
    ),
    Mutant(
        "busy_cuts_no_slots",
        "gateway/store/scripts/lib/account_health.lua",
        "if not found[3] or began >= tonumber(found[3]) then",
        "if found[3] and began < 0 then",
        "an upstream that says 429 is asked by as many as before",
        (named("gateway/store/account", "a_crowd_that_meets_a_busy_upstream_halves_the_slots_once"),),
    ),
    Mutant(
        "retry_after_holds_nobody",
        "gateway/store/scripts/lib/account_health.lua",
        "if verdict[2] > 0 then",
        "if verdict[2] < 0 then",
        "all other jobs run into the same 429",
        (named("gateway/store/account", "nothing_is_handed_out_before_the_time_that_the_upstream_named"),),
    ),
    Mutant(
        "weights_are_ignored",
        "gateway/store/scripts/lib/dispatching.lua",
        "return 1 / tonumber(special and redis.call('HGET', r .. ':weights', lane) or '1')",
        "return 1",
        "a tenant that pays for three times as much of the upstream gets as little as all others",
        (named("gateway/store/fairness", "a_tenant_of_three_times_the_weight_is_sent_three_times_as_much"),),
    ),
    Mutant(
        "high_starves_low",
        "gateway/store/scripts/lib/ranks.lua",
        "low = 16 }",
        "low = 1e6 }",
        "a job of low priority is never sent while there are others",
        (named("gateway/store/fairness"),),
    ),
    Mutant(
        "priorities_save_up_turns",
        "gateway/store/scripts/lib/ranks.lua",
        "  else\n    rank = turn\n  end\n",
        "  end\n",
        "a priority that was not used for a day goes before all others for as long",
        (named("gateway/store/fairness", "a_priority_that_was_not_used_has_saved_up_nothing"),),
    ),
    Mutant(
        "pause_is_ignored",
        "gateway/store/scripts/lib/dispatching.lua",
        "    if redis.call('EXISTS', P .. 'paused') == 1 then return 0 end\n",
        "",
        "an operator who stops everything before a change at the upstream stops nothing",
        (named("gateway/store/fairness", "nothing_is_sent_while_all_is_paused_and_no_slot_is_lost"),),
    ),
    Mutant(
        "refusals_are_counted",
        "gateway/store/scripts/accept.lua",
        "  if passes then\n    tat = tat + one\n",
        "  do\n    tat = tat + one\n",
        "a client that asks too often is never let in again",
        (named("gateway/store/admission", "a_refusal_costs_nothing_and_time_gives_the_allowance_back"),),
    ),
)
