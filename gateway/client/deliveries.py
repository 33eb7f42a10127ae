"""Deliveries: events that are owed to your endpoints."""

from __future__ import annotations

from typing import Literal

from .checks import path_of
from .pages import Listing
from .requests import Request, record
from .steps import Call, Method, Net, Resource
from .webhook_models import Delivery


class Deliveries(Resource[Net]):
    """Webhooks that were sent or are still to be sent: `client.deliveries.list(state="dead")`."""

    def list(
        self,
        *,
        state: Literal["pending", "delivered", "dead", "held"] | None = None,
        endpoint: str | None = None,
        job: str | None = None,
        page_size: int = 100,
    ) -> Listing[Net, Delivery]:
        """Deliveries, newest first, without their logs: `client.deliveries.list(state="dead")`."""
        query = {"state": state, "endpoint": endpoint, "job": job, "limit": page_size}
        return Listing(self._network, Delivery, "/v1/deliveries", query)

    @Method
    def get(self, delivery_id: Delivery | str) -> Call[Delivery]:
        """The delivery, with the log of its newest attempts."""
        return record(Delivery, Request("GET", _path(delivery_id)))

    @Method
    def redeliver(self, delivery_id: Delivery | str) -> Call[Delivery]:
        """Send it again now, in any state. The id and the bytes of the event stay. Conflict while an
        attempt is in progress, or if the endpoint is disabled or deleted."""
        return record(Delivery, Request("POST", f"{_path(delivery_id)}/redeliver", repeatable=False))


def _path(delivery: Delivery | str) -> str:
    return path_of("/v1/deliveries", Delivery, delivery)
