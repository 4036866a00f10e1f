"""AWS's own device SDK against a node: classic and named shadows, by MQTT 3.1.1 and by the request-response client of MQTT 5.

Usage: aws_shadow.py HOST PORT. Prints one line a step; ends with an error at the first that is not as AWS has it.
"""

import os
import queue
import sys

from awscrt import io, mqtt, mqtt5, mqtt_request_response
from awsiot import ServiceStreamOptions, V2ServiceException, iotshadow

PATIENCE_S = 60
THING = "pump-1"


def check(condition, what):
    if not condition:
        raise SystemExit(f"not as expected: {what}")


class Heard:
    """Events of subscriptions, in the order in which they came."""

    def __init__(self):
        self.events = queue.Queue()

    def callback(self, name):
        return lambda event: self.events.put((name, event))

    def next(self, name):
        got, event = self.events.get(timeout=PATIENCE_S)
        check(got == name, f"{name} next, and not {got}: {event}")
        return event


def classic(host, port):
    """The client of MQTT 3.1.1, as its samples use it."""
    bootstrap = io.ClientBootstrap(io.EventLoopGroup(1), io.DefaultHostResolver(io.EventLoopGroup(1)))
    connection = mqtt.Connection(mqtt.Client(bootstrap, None), host_name=host, port=port, client_id="aws-classic")
    connection.connect().result(PATIENCE_S)
    shadow, heard = iotshadow.IotShadowClient(connection), Heard()
    qos = mqtt.QoS.AT_LEAST_ONCE

    def subscribe(kind, request):
        for end in ("accepted", "rejected"):
            call = getattr(shadow, f"subscribe_to_{kind}_shadow_{end}")
            future, _ = call(request=request(), qos=qos, callback=heard.callback(f"{kind}/{end}"))
            future.result(PATIENCE_S)

    subscribe("get", lambda: iotshadow.GetShadowSubscriptionRequest(thing_name=THING))
    subscribe("update", lambda: iotshadow.UpdateShadowSubscriptionRequest(thing_name=THING))
    subscribe("delete", lambda: iotshadow.DeleteShadowSubscriptionRequest(thing_name=THING))
    delta = iotshadow.ShadowDeltaUpdatedSubscriptionRequest(thing_name=THING)
    shadow.subscribe_to_shadow_delta_updated_events(delta, qos, heard.callback("delta"))[0].result(PATIENCE_S)

    shadow.publish_get_shadow(iotshadow.GetShadowRequest(thing_name=THING, client_token="first"), qos)
    refused = heard.next("get/rejected")
    check(refused.code == 404 and refused.client_token == "first", refused)
    print("a shadow that is not there: rejected with 404")

    state = iotshadow.ShadowState(reported={"on": False, "level": 3}, desired={"on": True})
    shadow.publish_update_shadow(iotshadow.UpdateShadowRequest(thing_name=THING, state=state, client_token="t1"), qos)
    accepted, changed = heard.next("update/accepted"), heard.next("delta")
    check(accepted.client_token == "t1" and accepted.state.reported == {"on": False, "level": 3}, accepted)
    check(accepted.version == 1 and accepted.timestamp is not None, accepted)
    check(changed.state == {"on": True} and changed.version == 1, changed)
    check("timestamp" in changed.metadata["on"], changed.metadata)
    print("an update: accepted, and the difference told as a delta")

    shadow.publish_get_shadow(iotshadow.GetShadowRequest(thing_name=THING), qos)
    got = heard.next("get/accepted")
    check(got.state.desired == {"on": True} and got.state.delta == {"on": True}, got.state)
    check(got.metadata.reported["level"]["timestamp"] > 0, got.metadata)
    print("get: the documents, their delta and metadata")

    state = iotshadow.ShadowState(reported={"level": 4})
    stale = iotshadow.UpdateShadowRequest(thing_name=THING, state=state, version=7, client_token="t2")
    shadow.publish_update_shadow(stale, qos)
    refused = heard.next("update/rejected")
    check(refused.code == 409 and refused.client_token == "t2", refused)
    print("another version than there is: rejected with 409")

    shadow.publish_delete_shadow(iotshadow.DeleteShadowRequest(thing_name=THING), qos)
    deleted = heard.next("delete/accepted")
    check(deleted.version >= 1, deleted)
    print("delete: accepted")
    connection.disconnect().result(PATIENCE_S)


def named(host, port):
    """The client of MQTT 5 that matches answers to requests, on a shadow with a name."""
    connected = queue.Queue()
    client = mqtt5.Client(
        mqtt5.ClientOptions(
            host_name=host,
            port=port,
            connect_options=mqtt5.ConnectPacket(client_id="aws-named"),
            on_lifecycle_event_connection_success_fn=lambda _: connected.put(True),
        )
    )
    client.start()
    connected.get(timeout=PATIENCE_S)
    options = mqtt_request_response.ClientOptions(max_request_response_subscriptions=4, max_streaming_subscriptions=4)
    shadow, heard = iotshadow.IotShadowClientV2(client, options), Heard()
    stream = shadow.create_named_shadow_delta_updated_stream(
        iotshadow.NamedShadowDeltaUpdatedSubscriptionRequest(thing_name=THING, shadow_name="settings"),
        ServiceStreamOptions(
            incoming_event_listener=heard.callback("delta"),
            subscription_status_listener=heard.callback("stream"),
        ),
    )
    stream.open()
    heard.next("stream")
    state = iotshadow.ShadowState(reported={"mode": "eco"}, desired={"mode": "boost"})
    updated = shadow.update_named_shadow(
        iotshadow.UpdateNamedShadowRequest(thing_name=THING, shadow_name="settings", state=state)
    ).result(PATIENCE_S)
    check(updated.state.desired == {"mode": "boost"}, updated)
    check(heard.next("delta").state == {"mode": "boost"}, "the delta of a named shadow")
    got = shadow.get_named_shadow(
        iotshadow.GetNamedShadowRequest(thing_name=THING, shadow_name="settings")
    ).result(PATIENCE_S)
    check(got.state.reported == {"mode": "eco"}, got)
    shadow.delete_named_shadow(
        iotshadow.DeleteNamedShadowRequest(thing_name=THING, shadow_name="settings")
    ).result(PATIENCE_S)
    try:
        shadow.get_named_shadow(
            iotshadow.GetNamedShadowRequest(thing_name=THING, shadow_name="settings")
        ).result(PATIENCE_S)
        check(False, "a shadow that was deleted is there")
    except V2ServiceException as error:
        check(error.args[2].code == 404, error)
    print("a named shadow: update, delta, get, delete, and 404 after it")
    client.stop()


if __name__ == "__main__":
    classic(sys.argv[1], int(sys.argv[2]))
    named(sys.argv[1], int(sys.argv[2]))
    print("all as AWS has it", flush=True)
    # The SDK's threads and the end of the interpreter do not always agree, and that is not what is looked at here.
    os._exit(0)
