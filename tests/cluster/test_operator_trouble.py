"""What only the operator can see becomes a condition with reason and mend; and two operators never both write."""

from __future__ import annotations

import asyncio
import base64

import pytest
from tradingengine_operator.builders import names
from tradingengine_operator.plan import kinds

from .operator_rig import Rig, gateway

pytestmark = pytest.mark.cluster


async def until_reason(rig: Rig, type_: str, reason: str) -> str:
    """Waits for a condition's reason; its message."""

    async def reached() -> bool:
        return (await rig.condition(type_)).get("reason") == reason

    await rig.until(f"{type_} says {reason}", reached)
    return str((await rig.condition(type_))["message"])


async def write_secret(rig: Rig, uri: str, labels: dict[str, str]) -> None:
    """The Secret of a managed database."""
    data = {"uri": base64.b64encode(uri.encode()).decode()}
    metadata = {"name": "pg", "namespace": rig.namespace, "labels": labels}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
    await rig.client.apply(secret, manager="person")


async def test_managed_database_from_missing_secret_to_reached(rig: Rig) -> None:
    await rig.apply(database={"type": "managed", "managed": {"secretName": "pg"}})
    password = "hunter2-never-shown"
    listener = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    own = {names.LABEL_USE: "desk"}
    async with listener, rig.operator():
        message = await until_reason(rig, "SecretsReady", "SecretMissing")
        assert "pg" in message
        assert "create it with key uri" in message
        assert await rig.phase() == "Pending"
        await write_secret(rig, "postgresql://u:hunter2-never-shown@127.0.0.1:1/db", {})
        await poke(rig)
        message = await until_reason(rig, "SecretsReady", "SecretNotLabelled")
        assert f"label secret pg {names.LABEL_USE}=desk" in message
        await write_secret(rig, f"postgresql://u:{password}@127.0.0.1:1/db", own)
        await poke(rig)
        message = await until_reason(rig, "DatabaseReady", "Unreachable")
        assert "127.0.0.1:1" in message
        await write_secret(rig, f"postgresql://u:{password}@127.0.0.1:{port}/db", own)
        await poke(rig)
        await until_reason(rig, "DatabaseReady", "Reachable")
        await rig.until_phase("Running")
    assert password not in str(await rig.engine())
    assert password not in rig.log.read_text()
    events = await rig.client.list_all(kinds.EVENT, rig.namespace)
    assert password not in str(events)
    assert any(event["reason"].startswith("SecretsReady") for event in events)


async def poke(rig: Rig) -> None:
    """Wakes the loop, since Secrets may not be watched."""
    engine = await rig.engine()
    count = int((engine["metadata"].get("annotations") or {}).get("example.com/poke", "0")) + 1
    annotations = {"metadata": {"annotations": {"example.com/poke": str(count)}}}
    await rig.client.merge_patch(kinds.ENGINE, rig.namespace, "desk", annotations)


async def test_lost_credentials_of_a_volume_are_never_made_anew(rig: Rig) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data-desk-database-0", "namespace": rig.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await rig.client.apply(claim, manager="person")
    await rig.apply()
    async with rig.operator():
        message = await until_reason(rig, "SecretsReady", "CredentialsLost")
        assert "restore Secret desk-database-access" in message
    assert await rig.client.get(kinds.SECRET, rig.namespace, "desk-database") is None


async def test_a_changed_password_is_put_back_or_made_valid_beside_the_old_one(rig: Rig) -> None:
    async def wish(password: str | None) -> None:
        text = base64.b64encode(password.encode()).decode() if password is not None else None
        await rig.client.merge_patch(kinds.SECRET, rig.namespace, "desk-database", {"data": {"password": text}})
        await poke(rig)

    async def stage() -> str:
        secret = await rig.client.get(kinds.SECRET, rig.namespace, "desk-database-access")
        return base64.b64decode(secret["data"]["stage"]).decode() if secret is not None else ""

    async def spreads() -> bool:
        return await stage() == "spreading"

    await rig.apply()
    async with rig.operator():
        await rig.until_phase("Running")
        before = await rig.client.get(kinds.SECRET, rig.namespace, "desk-database")
        assert before is not None
        await wish(None)
        message = await until_reason(rig, "SecretsReady", "PasswordPutBack")
        assert "there was none" in message
        after = await rig.client.get(kinds.SECRET, rig.namespace, "desk-database")
        assert after is not None
        assert after["data"] == before["data"]
        await wish("a-good-one-of-mine")
        await rig.until("both passwords are valid", spreads)
        assert (await rig.condition("SecretsReady"))["reason"] == "PasswordChanging"
        assert await rig.phase() == "Running"
    assert "a-good-one-of-mine" not in rig.log.read_text()


async def test_missing_gateway(rig: Rig) -> None:
    rig.stage.gateway_accepts = False
    await rig.apply(gateway={"name": "nowhere", "namespace": rig.namespace})
    async with rig.operator():
        message = await until_reason(rig, "ReleaseHealthy", "GatewayMissing")
        assert f"Gateway {rig.namespace}/nowhere does not exist" in message
        assert await rig.phase() == "Pending"
        await rig.client.apply(gateway("nowhere", rig.namespace), manager="person")
        rig.stage.gateway_accepts = True
        await rig.until_phase("Running")


async def test_image_that_cannot_be_pulled(rig: Rig) -> None:
    await rig.apply(images={"api": "localhost/missing:1"})
    rig.stage.held |= {"api", "migrations"}
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    async with rig.operator():
        for component, begins in (("migrations", "pod desk-migrate-"), ("api", "pod desk-api-")):

            async def there(name: str = component) -> bool:
                return bool(await rig.client.list_all(kinds.POD, rig.namespace, {names.LABEL_COMPONENT: name}))

            async def told(name: str = begins) -> bool:
                said = await rig.condition("ReleaseHealthy")
                return said.get("reason") == "ImagePullFailed" and name in said["message"]

            await rig.until(f"pods of {component} are there", there)
            await rig.stage.wait_with(component, waiting)
            await rig.until(f"the image of {component} is said to be missing", told)
            message = (await rig.condition("ReleaseHealthy"))["message"]
            assert "localhost/missing:1" in message
            assert "spec.images" in message
            before = len(rig.log.read_text().splitlines())
            await poke(rig)
            rig.stage.held.discard(component)
        await rig.until_phase("Running")
        assert len(rig.log.read_text().splitlines()) - before < 10, "trouble is a condition, not a storm in the log"


async def test_paused_engine_is_left_alone(rig: Rig) -> None:
    await rig.apply(paused=True)
    async with rig.operator():
        await rig.until_phase("Paused")
        assert await rig.client.list_all(kinds.STATEFUL_SET, rig.namespace) == []
        await rig.apply(paused=False)
        await rig.until_phase("Running")


async def holder(rig: Rig) -> str:
    """Who holds the Lease."""
    lease = await rig.client.get(kinds.LEASE, rig.namespace, "tradingengine-operator")
    return str(lease["spec"].get("holderIdentity") or "") if lease is not None else ""


async def test_a_standby_takes_over_after_a_kill_and_at_once_after_a_release(rig: Rig) -> None:
    async with rig.operator() as first:

        async def held() -> bool:
            return bool(await holder(rig))

        await rig.apply()
        await rig.until("the first operator leads", held)
        old = await holder(rig)
        async with rig.operator() as second:
            await rig.until_phase("Running")
            assert await holder(rig) == old, "a standby waits"
            await first.kill()

            async def taken() -> bool:
                return await holder(rig) not in {"", old}

            await rig.until("the standby leads", taken, timeout=20)
            await rig.apply(version="0.2.0")

            async def worked() -> bool:
                state = await rig.state()
                return state.candidate is not None and state.candidate.release == 2

            await rig.until("the standby works", worked)
            assert await second.terminate() == 0
            assert await holder(rig) == "", "given up, so that the next one need not wait"


async def test_an_operator_that_loses_its_lease_ends(rig: Rig) -> None:
    await rig.apply()
    async with rig.operator() as process:
        await rig.until_phase("Running")
        lease = await rig.client.get(kinds.LEASE, rig.namespace, "tradingengine-operator")
        assert lease is not None
        lease["spec"]["holderIdentity"] = "somebody-else"
        await rig.client.merge_patch(
            kinds.LEASE, rig.namespace, "tradingengine-operator", {"spec": {"holderIdentity": "somebody-else"}}
        )
        async with asyncio.timeout(20):
            assert await process.process.wait() == 3
    assert await holder(rig) == "somebody-else"
