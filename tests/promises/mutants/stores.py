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
)
