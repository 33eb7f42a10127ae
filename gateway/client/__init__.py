"""The Python client of vidu-gateway.

```python
from pathlib import Path
from gateway.client import Client

client = Client("http://gateway.example.com:8080", key="vgw_...")  # or VIDU_GATEWAY_URL, VIDU_GATEWAY_KEY
job = client.jobs.submit("The fox looks up at the moon", [Path("fox.png")], duration=5)
job = client.jobs.wait(job)  # raises JobFailed, JobCanceled, WaitTimeout
client.jobs.download(job, "fox.mp4")
```

See help(Client) for all operations. `AsyncClient` is the same for asyncio. `errors` has all errors,
`webhooks.verify` checks what your endpoints get, `JobParams` has the parameters of a job. It imports nothing
of the service, and needs only httpx.
"""

from . import errors, webhooks
from .client import AsyncClient, Client
from .models import (
    Asset,
    Cost,
    Event,
    Job,
    JobCheck,
    Link,
    Timeline,
    Upload,
    Usage,
)
from .orders import JobParams
from .webhook_models import Delivery, Endpoint, Recovery, TestResult

__all__ = [
    "Asset",
    "AsyncClient",
    "Client",
    "Cost",
    "Delivery",
    "Endpoint",
    "Event",
    "Job",
    "JobCheck",
    "JobParams",
    "Link",
    "Recovery",
    "TestResult",
    "Timeline",
    "Upload",
    "Usage",
    "errors",
    "webhooks",
]
