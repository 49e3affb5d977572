"""`/v1/release`."""

from fastapi import APIRouter
from starlette.responses import Response

from tradingengine.api.auth import Reader
from tradingengine.api.release.schemas import ReleaseDocument
from tradingengine.api.responses import Json
from tradingengine.api.state import State

router = APIRouter(prefix="/v1/release", tags=["status"])


@router.get("", response_model=ReleaseDocument | None, summary="The rollout")
async def get_release(user: Reader, state: State) -> Response:
    """As the operator told it last; null while it has not."""
    return Json(state.control.release_document)
