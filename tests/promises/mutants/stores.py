"""Bugs with a store that moves: failovers, replicas, clusters."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named


def _failover(name: str) -> str:
    return named("gateway/store/failover", name)


STORES: Final = (
    Mutant(
        "a_replica_stays_in_the_pool",
        "gateway/store/replies.py",
        "check_served",
        "if reason is None:",
        "if reason is None or reply:",
        "after a switch of the primary, connections lead to the replica for ever: 503, and workers that end",
        (named("gateway/store/replies"),),
    ),
    Mutant(
        "the_guard_knows_the_first_host_only",
        "gateway/delivery/guard.py",
        "own_addresses",
        "places += read_redis_url(settings.redis_url).hosts",
        "places += read_redis_url(settings.redis_url).hosts[:1]\n        store_places = list",
        "a tenant makes us post to a sentinel or a replica",
        (named("gateway/delivery/guard_store"),),
    ),
    Mutant(
        "the_guard_knows_only_what_the_url_names",
        "gateway/delivery/addresses.py",
        "OwnAddresses._add_found",
        "if len(found) != self._number_found:",
        "if len(found) != self._number_found and not self._places:",
        "a tenant makes us post to the server that a failover made the primary",
        (named("gateway/delivery/guard_store"),),
    ),
    Mutant(
        "a_certificate_for_any_host_is_taken",
        "gateway/store/tls.py",
        "use_tls",
        'options.setdefault("ssl_check_hostname", options.get("ssl_cert_reqs") != "none")',
        'options.setdefault("ssl_check_hostname", False)',
        "whoever has a certificate of any host reads and changes everything between us and the store",
        (
            named(
                "gateway/store/refusals", "a_certificate_for_another_host_is_told_at_once_and_may_be_accepted"
            ),
        ),
    ),
    Mutant(
        "replicas_are_asked_on_another_connection",
        "gateway/store/pipelined_connection.py",
        "PipelinedConnection._attempt",
        "        return await exchange.send(packed, writes)\n",
        """        reply = await exchange.send(packed, False)
        if writes and self._connection.acknowledgements:
            from redis.asyncio import Redis

            await Redis(connection_pool=self._pool).wait(self._connection.acknowledgements, 500)
        return reply
""",
        "replicas acknowledge what that connection wrote, which is nothing: a failover loses accepted jobs",
        (
            named(
                "gateway/store/replicated_writes", "no_reply_is_given_out_while_the_replica_lacks_the_write"
            ),
        ),
    ),
    Mutant(
        "the_number_of_replicas_is_not_looked_at",
        "gateway/store/exchange.py",
        "Exchange._acknowledge",
        "enough = failed is None and count >= self._acknowledgements",
        "enough = failed is None",
        "a write that no replica has counts as acknowledged: a failover loses accepted jobs",
        (named("gateway/store/replicated_writes", "without_the_replica_the_store_is_away_and_says_why"),),
    ),
    Mutant(
        "a_repeat_is_acknowledged_at_once",
        "gateway/store/exchange.py",
        "Exchange._begin_wait",
        'packed_words("EVAL", _MARK, 1, keys.MARK)',
        'packed_words("EVAL", "return 1", 0)',
        "a POST that is repeated finds its job, which no replica has, and gets a 202: a failover loses it",
        (
            named(
                "gateway/store/replicated_writes",
                "a_call_that_finds_its_work_done_is_not_acknowledged_on_a_new_connection_either",
            ),
        ),
    ),
    Mutant(
        "the_hold_is_skipped",
        "gateway/store/scripts/lib/primary.lua",
        "is_held",
        "return read(failover, now).held",
        "return false",
        "after a failover a job whose submission was lost is paid for again before its task calls back",
        (_failover("a_job_whose_submission_was_lost_is_not_claimed_before_the_hold_is_over"),),
    ),
    Mutant(
        "the_hold_is_skipped_by_workers",
        "gateway/store/scripts/claim_arq_jobs.lua",
        "take",
        "  if #names > 0 and is_held() then return found end\n",
        "",
        "jobs are taken off their queue during the hold, and wait for their leases instead",
        (_failover("work_waits_in_its_queue_and_goes_on_after_the_hold"),),
    ),
    Mutant(
        "the_hold_does_not_wait_for_journals",
        "gateway/store/scripts/lib/primary.lua",
        "read",
        " or journals_wait(known.failed_over_at, now)",
        "",
        "a job is paid for again although a gateway has the callback of its first task on disk",
        (_failover("the_hold_lasts_until_every_journal_is_replayed"),),
    ),
    Mutant(
        "a_journal_is_reported_before_it_is_replayed",
        "gateway/callbacks/journal.py",
        "replay",
        "if await replay_once(journal, jobs) and time",
        "if (await replay_once(journal, jobs) or True) and time",
        "the hold ends while a gateway still has callbacks on disk",
        (
            named(
                "gateway/callbacks/journal",
                "the_process_reports_its_journal_when_all_of_it_is_replayed_and_not_before",
            ),
        ),
    ),
    Mutant(
        "a_journal_that_cannot_be_read_is_reported",
        "gateway/callbacks/journal.py",
        "replay_once",
        " and not journal.replay_outage.is_on",
        "",
        "the hold ends although the callback of a lost submission may be in a file that cannot be read",
        (
            named(
                "gateway/callbacks/journal_faults",
                "a_journal_with_an_unreadable_file_is_not_replayed_and_its_own_callbacks_are",
            ),
        ),
    ),
    Mutant(
        "the_number_of_a_lost_submission_is_used_again",
        "gateway/store/scripts/lib/primary.lua",
        "skip_lost_submissions",
        "  record.add(key, 'epoch', LOST)\n",
        "",
        "two submissions of a job share one number, so its callbacks cannot be told apart",
        (_failover("the_task_of_a_lost_submission_that_calls_back_too_late_belongs_to_an_earlier_one"),),
    ),
    Mutant(
        "a_failover_is_not_noticed",
        "gateway/store/scripts/lib/primary.lua",
        "read",
        "if stored[1] and taken_over then",
        "if stored[1] and not taken_over then",
        "after a failover nothing is held and nobody is told; after a restart everything is",
        (_failover("a_failover_is_logged_and_counted_once"),),
    ),
)
