"""What schemathesis cannot know of the API by itself: lines of JSON, and batches whose items are refused one by one."""

import json

import jsonschema_rs
import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines_of_json(ctx, value):
    """A text that is no lines of JSON becomes one: the document knows it as a text alone."""
    try:
        lines = [json.loads(line) for line in value.splitlines()]
    except (AttributeError, ValueError):
        lines = []
    if not lines:
        value = json.dumps(value)
    return value.encode()


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Nobody waits for half a minute here; what is out of bounds stays so. And what the calls are about is not removed."""
    wait = str((case.query or {}).get("wait_s", ""))
    if wait.isdecimal() and 1 < int(wait) <= 30:
        case.query["wait_s"] = 1
    removed = (case.method.upper(), case.operation.path, (case.path_parameters or {}).get("tenant"))
    if removed == ("DELETE", "/v1/tenants/{tenant}", "kept"):
        case.path_parameters["tenant"] = "nobody"


@schemathesis.check
def items_at_fault_are_refused(ctx, response, case):
    """What does not fit the schema of an event is never accepted, alone or in a batch."""
    publishes = (case.operation.method.lower(), case.operation.path) == ("post", "/v1/events")
    if not publishes or response.status_code != 202 or case.media_type != "application/json":
        return
    # What was sent, which is not always the case's body.
    sent = json.loads(response.request.body)
    document = case.operation.schema.raw_schema
    event = {"$ref": "#/components/schemas/NewEvent", "components": document["components"]}
    fits = jsonschema_rs.Draft202012Validator(event).is_valid
    if not isinstance(sent, list):
        assert fits(sent), f"accepted, though it is no event: {sent}"
        return
    answers = response.json()["data"]
    assert len(answers) == len(sent), "a batch is answered item by item"
    for item, answer in zip(sent, answers):
        assert fits(item) or "error" in answer, f"accepted in a batch, though it is no event: {item}"


@schemathesis.check
class EveryCallSucceeds:
    """Each call is answered by a 2xx at some time: otherwise it would be known by its refusals alone."""

    def __init__(self):
        self.made, self.succeeded = set(), set()

    def after_response(self, ctx, response, case):
        self.made.add(case.operation.label)
        if 200 <= response.status_code < 300:
            self.succeeded.add(case.operation.label)

    def after_run(self, ctx):
        never = sorted(self.made - self.succeeded)
        assert not never, f"never answered by a 2xx: {', '.join(never)}"
