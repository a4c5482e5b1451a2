"""Calls every verb of the admin API as a client that knows nothing but the server's own descriptions (gRPC reflection).

    python3 tests/reflection/every_verb.py HOST:PORT

against a mesh of at least three blocks, for example `dynomesh dev --blocks 3 --control 3`. Needs the packages grpcio and
grpcio-reflection. Prints one line for each call; exit code 0 if each was answered as it should and no verb was left out. It puts
back what it changes, but for the events; run it on a mesh of your own.
"""

import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICE = "dynomesh.admin.v1.Admin"
APP = "reflected"


class Admin:
    """The service as it describes itself."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(self.channel))
        self.methods = {method.name: method for method in pool.FindServiceByName(SERVICE).methods}
        self.called, self.failed = set(), 0

    def call(self, name, request=None, code="OK", says=""):
        """Makes one call; its answer as a dict, or None if it was refused."""
        method = self.methods[name]
        self.called.add(name)
        message = json_format.ParseDict(request or {}, GetMessageClass(method.input_type)())
        how = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        stub = how(
            f"/{SERVICE}/{name}",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        try:
            answer = stub(message, timeout=20)
            answer = list(answer) if method.server_streaming else answer
            got, text = "OK", ""
        except grpc.RpcError as error:
            answer, got, text = None, error.code().name, error.details()
        right = got == code and says in text
        self.failed += not right
        print(f"{'ok  ' if right else 'FAIL'} {name} {request or {}} -> {got} {text}"[:240])
        if answer is None or method.server_streaming:
            return answer
        return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def apps_and_dynos(admin):
    admin.call("CreateApp", {"name": APP, "hosts": ["reflected.test"]})
    admin.call("CreateApp", {"name": APP, "hosts": ["other.test"]}, "ALREADY_EXISTS")
    version = admin.call("GetApp", {"name": APP})["version"]
    update = {"name": APP, "hosts": ["reflected.test", "www.reflected.test"]}
    admin.call("UpdateApp", update | {"options": {"expect_version": version}})
    admin.call("UpdateApp", {"name": APP, "hosts": ["x.test"], "options": {"expect_version": version}}, "ABORTED")
    admin.call("ListApps")
    admin.call("GetApp", {"name": "nobody"}, "NOT_FOUND", "nobody")

    blocks = [block["name"] for block in admin.call("ListBlocks")["blocks"]]
    admin.call("GetBlock", {"name": blocks[0]})
    admin.call("AddDyno", {"app": APP, "addr": "127.0.0.1:9", "id": "r1", "block": blocks[0]})
    admin.call("AddDyno", {"app": APP, "addr": "not an address"}, "INVALID_ARGUMENT", "addr")
    batch = [{"app": APP, "addr": f"127.0.0.1:{port}", "id": f"r{port}"} for port in (10, 11)]
    admin.call("AddDynos", {"dynos": batch})
    admin.call("AddDynos", {"dynos": batch + [{"app": APP, "addr": "-"}]}, "INVALID_ARGUMENT", "dynos[2].addr")
    admin.call("GetDyno", {"id": "r1"})
    admin.call("ListDynos", {"app": APP, "page_size": 2})
    admin.call("DrainDyno", {"id": "r1", "deadline_ms": 1000})
    admin.call("UndrainDyno", {"id": "r1"})
    admin.call("UndrainDyno", {"id": "r1", "app": "nobody"}, "FAILED_PRECONDITION", APP)
    keyed = {"id": "r1", "to": blocks[1], "options": {"idempotency_key": "reflected-1"}}
    first, again = admin.call("MoveDyno", keyed), admin.call("MoveDyno", keyed)
    # The move goes on between the two answers, so what is seen of the dyno may differ; what was written may not.
    written = lambda answer: (answer["changed"], *(answer["dyno"][key] for key in ("id", "block", "epoch")))
    if first["changed"] is not True or written(again) != written(first):
        admin.failed += 1
        print(f"FAIL MoveDyno answered its repetition {again}, and at first {first}")
    admin.call("MoveDyno", {"id": "r1", "to": "nowhere"}, "NOT_FOUND", "nowhere")
    return blocks


def blocks_and_processes(admin, blocks):
    admin.call("DrainBlock", {"name": blocks[2]})
    admin.call("MoveDyno", {"id": "r1", "to": blocks[2]}, "FAILED_PRECONDITION", "drained")
    admin.call("UndrainBlock", {"name": blocks[2]})
    admin.call("RemoveBlock", {"name": "nowhere"}, "NOT_FOUND")
    admin.call("AddBlock", {"name": "b9", "replicas": ["127.0.0.1:1"]}, "UNAVAILABLE")
    admin.call("EvictBlock", {"name": blocks[2]}, "INVALID_ARGUMENT", "confirm")
    admin.call("EvictBlock", {"name": blocks[2], "confirm": blocks[2]}, "FAILED_PRECONDITION")

    replicas = admin.call("ListReplicas", {"block": blocks[0]})["replicas"]
    follower = next(replica["node"] for replica in replicas if not replica.get("leader"))
    admin.call("DrainReplica", {"node": follower})
    admin.call("UndrainReplica", {"node": follower})
    admin.call("DrainReplica", {"node": "nobody"}, "NOT_FOUND", "nobody")
    admin.call("ReplaceReplica", {"block": "nowhere", "dead": 1}, "NOT_FOUND", "nowhere")
    edge = admin.call("ListEdges")["edges"][0]["node"]
    admin.call("DrainEdge", {"node": edge})
    admin.call("UndrainEdge", {"node": edge})


def mesh(admin):
    admin.call("GetMap", {"kind": "leader"})
    admin.call("GetMap", {"kind": "nonsense"}, "INVALID_ARGUMENT", "kind")
    admin.call("GetPlan")
    admin.call("Rebalance")
    admin.call("ListSettings")
    admin.call("SetSettings", {"settings": {"moves_max": "9"}})
    admin.call("SetSettings", {"settings": {"moves_max": "none"}}, "INVALID_ARGUMENT", "moves_max")
    admin.call("SetSettings", {"settings": {"moves_max": "8"}})
    events = admin.call("WatchEvents", {"end": True})
    admin.failed += not events
    admin.call("WatchEvents", {"after": events[-1].seq - 1 if events else 0, "end": True})
    admin.call("GetStatus")
    admin.call("Recover", {}, "INVALID_ARGUMENT", "confirm")


def put_back(admin):
    for dyno in ("r1", "r10"):
        admin.call("RemoveDyno", {"id": dyno})
    admin.call("RemoveDyno", {"id": "r11"}, "FAILED_PRECONDITION", "force")
    admin.call("RemoveDyno", {"id": "r11", "force": True})
    admin.call("DeleteApp", {"name": APP})


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    admin = Admin(sys.argv[1])
    blocks = apps_and_dynos(admin)
    blocks_and_processes(admin, blocks)
    mesh(admin)
    put_back(admin)
    left = sorted(set(admin.methods) - admin.called)
    print(f"{len(admin.called)} of {len(admin.methods)} verbs called, {admin.failed} answers wrong; left out: {left or 'none'}")
    sys.exit(1 if admin.failed or left else 0)


if __name__ == "__main__":
    main()
