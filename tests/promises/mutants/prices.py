"""Bugs in prices, estimates and budgets."""

from __future__ import annotations

from typing import Final

from tests.promises.mutants.mutant import Mutant, named

PRICES: Final = (
    Mutant(
        "amounts_are_rounded",
        "gateway/money/amounts.py",
        "to_micros",
        'if decimals[6:].strip("0"):',
        "if False:",
        "a price that is finer than a micro-unit is cut without a word",
        (named("gateway/money/amounts", "what_is_not_an_amount_is_refused_with_what_to_send"),),
    ),
    Mutant(
        "prices_are_by_the_second",
        "gateway/money/prices.py",
        "Price.of",
        "further = max(0, seconds - 2) * self.further_second",
        "further = max(0, seconds - 2) * self.second_second",
        "long videos are estimated too dear, and budgets refuse what they should allow",
        (named("gateway/money/prices", "each_second_has_its_own_price"),),
    ),
    Mutant(
        "an_open_duration_is_estimated_as_the_default",
        "gateway/money/prices.py",
        "PriceBook.estimate",
        "price.of(duration or MAX_DURATION, params)",
        "price.of(duration or DURATION, params)",
        "a job whose length the upstream chooses costs more than was reserved for it",
        (named("gateway/money/prices", "a_duration_that_the_upstream_chooses_costs_at_most_the_longest"),),
    ),
    Mutant(
        "tomorrow_s_prices_count_today",
        "gateway/money/prices.py",
        "PriceBook.estimate",
        "if price.valid_from <= today:",
        "if price.valid_from:",
        "a price counts before its day",
        (named("gateway/money/prices", "a_price_is_valid_from_midnight_until_a_newer_one_is"),),
    ),
    Mutant(
        "prices_of_another_currency_count",
        "gateway/money/price_document.py",
        "read",
        'if document.get("currency") != currency:',
        'if "currency" not in document:',
        "prices in yen are taken for dollars",
        (named("gateway/money/price_document", "prices_in_another_currency_are_refused"),),
    ),
    Mutant(
        "a_broken_price_file_forgets_the_prices",
        "gateway/web/price_watch.py",
        "PriceWatch._look_at_file",
        "            self._failed(str(error))\n",
        "            self._failed(str(error))\n            self._use(PriceBook(currency=self._currency))\n",
        "a typing error in the price file makes all estimates unknown, and hard budgets refuse every job",
        (named("gateway/web/price_watch", "the_last_good_prices_stay_while_the_file_cannot_be_read"),),
    ),
    Mutant(
        "a_price_change_overwrites_another",
        "gateway/store/scripts/change_prices.lua",
        "",
        "if version ~= seen then",
        "if false then",
        "of two operators who change prices at once, one loses the change without knowing",
        (named("gateway/store/prices", "a_change_of_prices_that_were_not_seen_changes_nothing"),),
    ),
    Mutant(
        "a_rotated_key_has_no_budget",
        "gateway/store/scripts/add_key.lua",
        "",
        "if budget then",
        "if false then",
        "whoever rotates a key spends without its limit",
        (named("gateway/web/ops/budgets", "a_key_that_replaces_another_has_its_budgets"),),
    ),
    Mutant(
        "different_prices_are_no_alarm",
        "gateway/store/prices.py",
        "price_gauges",
        "PriceGauges(len(settled),",
        "PriceGauges(min(1, len(settled)),",
        "two gateways estimate the same job differently, and nobody is told",
        (named("gateway/store/prices", "books_differ_when_processes_have_had_different_ones_for_a_while"),),
    ),
)
