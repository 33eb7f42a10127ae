"""Bugs with a store that moves: failovers, replicas, clusters."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named

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
        "only_the_first_host_of_the_store_is_ours",
        "gateway/delivery/guard.py",
        "own_addresses",
        "read_redis_url(settings.redis_url).hosts",
        "read_redis_url(settings.redis_url).hosts[:1]",
        "a tenant's webhooks reach a sentinel or a node of the cluster",
        (named("gateway/delivery/guard_own", "every_host_of_the_stores_url_is_ours"),),
    ),
)
