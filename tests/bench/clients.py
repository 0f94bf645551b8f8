"""Work B with redis-py: clients.py variadic|pipeline PORT KEY FILE"""

import itertools
import sys

import redis

AT_A_TIME = 1000


def main(way, port, key, path):
    client = redis.Redis(port=int(port))
    with open(path, "rb") as lines:
        values = (line[:-1] for line in lines)
        while batch := list(itertools.islice(values, AT_A_TIME)):
            if way == "variadic":
                client.rpush(key, *batch)
                continue
            pipeline = client.pipeline(transaction=False)
            for value in batch:
                pipeline.rpush(key, value)
            pipeline.execute()


main(*sys.argv[1:])
