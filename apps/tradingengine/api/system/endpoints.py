"""`/v1/system`."""

from fastapi import APIRouter
from starlette.responses import Response

from tradingengine.api.auth import Reader
from tradingengine.api.problems import problems
from tradingengine.api.responses import Json
from tradingengine.api.state import State
from tradingengine.api.system.schemas import SystemList

router = APIRouter(prefix="/v1/system", tags=["status"])


@router.get("", response_model=SystemList, summary="Health of all parts", responses=problems(401))
async def get_system(user: Reader, state: State) -> Response:
    """What runs, how fast it answers, and how to mend what does not."""
    return Json({"items": await state.reads.system()})
