"""What autoscaling cannot know without the workers."""

from typing import TYPE_CHECKING

from ..store.scaling import tell_scaling
from .connector import AfreshConnector

if TYPE_CHECKING:
    from .app import Afresh


async def tell_concurrency(app: "Afresh", concurrency: int) -> None:
    """Say how many jobs one worker runs at once, and AUTOSCALING_DRAIN; nothing on a connector that is not ours.

    Raises:
        psycopg.Error, TimeoutError: The database is out of reach.
    """
    if isinstance(app.connector, AfreshConnector):
        async with app.connector.connection() as conn:
            await tell_scaling(conn, concurrency=concurrency, drain=app.settings.scaling.drain)
