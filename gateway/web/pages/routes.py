"""All pages for operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.web.pages import (
    endpoints,
    jobs,
    log,
    overview,
    queue,
    signing_in,
    spend,
    tenants,
    upstream,
    webhooks,
)
from gateway.web.pages.answering import Handler, page

#: Path -> method -> handler.
PAGES: Final[Mapping[str, Mapping[str, Handler]]] = {
    path: {method: page(handler) for method, handler in handlers.items()}
    for path, handlers in {
        "/ops": {"GET": overview.show},
        "/ops/login": {"GET": signing_in.show, "POST": signing_in.sign_in},
        "/ops/logout": {"POST": signing_in.sign_out},
        "/ops/live": {"GET": overview.live},
        "/ops/queue": {"GET": queue.show},
        "/ops/jobs": {"GET": jobs.find},
        "/ops/jobs/{job_id}": {"GET": jobs.show},
        "/ops/jobs/{job_id}/cancel": {"POST": jobs.cancel},
        "/ops/jobs/{job_id}/charge": {"POST": jobs.charge},
        "/ops/jobs/{job_id}/resolve": {"POST": jobs.resolve},
        "/ops/tenants": {"GET": tenants.show_all},
        "/ops/tenants/{tenant}": {"GET": tenants.show},
        "/ops/tenants/{tenant}/pause": {"POST": tenants.pause},
        "/ops/tenants/{tenant}/resume": {"POST": tenants.resume},
        "/ops/tenants/{tenant}/budgets": {"POST": tenants.set_budgets},
        "/ops/deliveries": {"GET": webhooks.find},
        "/ops/deliveries/redeliver": {"POST": webhooks.redeliver_dead},
        "/ops/deliveries/{delivery_id}": {"GET": webhooks.show},
        "/ops/deliveries/{delivery_id}/redeliver": {"POST": webhooks.redeliver},
        "/ops/endpoints": {"GET": endpoints.find},
        "/ops/endpoints/{endpoint_id}": {"GET": endpoints.show},
        "/ops/endpoints/{endpoint_id}/recover": {"POST": endpoints.recover},
        "/ops/subscribers/pause": {"POST": endpoints.pause},
        "/ops/subscribers/resume": {"POST": endpoints.resume},
        "/ops/upstream": {"GET": upstream.show},
        "/ops/accounts/{account}/pause": {"POST": upstream.pause},
        "/ops/accounts/{account}/resume": {"POST": upstream.resume},
        "/ops/pause": {"POST": upstream.pause_all},
        "/ops/resume": {"POST": upstream.resume_all},
        "/ops/spend": {"GET": spend.show},
        "/ops/log": {"GET": log.show},
    }.items()
}
