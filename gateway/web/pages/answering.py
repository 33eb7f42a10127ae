"""Wraps the handlers of pages: redirects to the login if nobody is signed in, and shows errors as pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.errors import GatewayError
from gateway.web.http import problems
from gateway.web.pages.rendering import render
from gateway.web.pages.sessions import FormRefused, SignIn

Handler = Callable[[Request], Awaitable[Response]]


def page(handler: Handler) -> Handler:
    async def answered(request: Request) -> Response:
        try:
            return await handler(request)
        except SignIn as away:
            return RedirectResponse(away.location, 303)
        except FormRefused as error:
            summary = problems.ErrorSummary(
                403, "The form was not accepted, and nothing was changed", str(error)
            )
            return render(request, "refused.html", status=403, summary=summary)
        except (GatewayError, HTTPException) as error:
            summary = problems.summarize(error)
            refused = render(request, "refused.html", status=summary.status, summary=summary)
            if summary.retry_after_seconds is not None:
                refused.headers["retry-after"] = str(summary.retry_after_seconds)
            return refused
        except Exception:  # noqa: BLE001  # unexpected, so it is our fault: log it and answer
            structlog.get_logger().exception("page_failed", path=request.url.path)
            summary = problems.ErrorSummary(500, "Internal error", "This is our fault and was logged.")
            return render(request, "refused.html", status=500, summary=summary)

    return answered
