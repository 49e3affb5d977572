"""`/v1/system`."""

from fastapi import APIRouter
from starlette.responses import Response

from tradingengine.api.auth import Reader
from tradingengine.api.parameters import Limit, OffsetCursor
from tradingengine.api.responses import Json
from tradingengine.api.state import State
from tradingengine.api.system.schemas import SystemList
from tradingengine.storage import paging

router = APIRouter(prefix="/v1/system", tags=["status"])


@router.get("", response_model=SystemList, summary="Health of all parts")
async def get_system(user: Reader, state: State, cursor: OffsetCursor = None, limit: Limit = 100) -> Response:
    """What runs, how fast it answers, and how to mend what does not."""
    return Json(paging.by_offset(await state.reads.system(), cursor, limit))
