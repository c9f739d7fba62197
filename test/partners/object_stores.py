"""Prepares the stores that object_stores started: waits for them, makes users, policies and buckets, prints what tests need.

Usage: object_stores.py PORT_OF_RADOSGW PORT_OF_MOTO
"""
import json
import sys
import time

import boto3
from botocore.config import Config

RGW, MOTO = ("http://127.0.0.1:%s" % port for port in sys.argv[1:3])
CONFIG = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0})


def client(service, url, key="any", secret="any", region="us-east-1"):
    return boto3.client(service, endpoint_url=url, aws_access_key_id=key, aws_secret_access_key=secret, region_name=region,
                        config=CONFIG)


def wait(url):
    import socket
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("%s does not start" % url)


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": [dict(Effect="Allow", **s) for s in statements]})


wait(MOTO)
iam = client("iam", MOTO)
# What a connector needs at least, as documented: nothing but this bucket, and below one prefix.
LEAST = policy({"Action": ["s3:PutObject", "s3:GetObject"], "Resource": "arn:aws:s3:::cold/least/*"},
               {"Action": "s3:GetBucketLocation", "Resource": "arn:aws:s3:::cold"})
ALL = policy({"Action": ["s3:*", "sts:AssumeRole"], "Resource": "*"})
keys = {}
for user, document in (("all", ALL), ("least", LEAST)):
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    keys[user] = key["AccessKeyId"], key["SecretAccessKey"]
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document)
role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=policy({"Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}))
iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=ALL)
# verified from here on
client("s3", MOTO, *keys["all"]).create_bucket(Bucket="cold")
client("s3", MOTO, *keys["all"], region="eu-west-1").create_bucket(
    Bucket="europe", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
wait(RGW)
client("s3", RGW, "RGWKEY", "RGWSECRET").create_bucket(Bucket="cold")

print("STRM_RADOSGW=" + RGW)
print("STRM_RADOSGW_KEY=RGWKEY\nSTRM_RADOSGW_SECRET=RGWSECRET")
print("STRM_MOTO=" + MOTO)
for user, (key, secret) in keys.items():
    print("STRM_MOTO_%s_KEY=%s\nSTRM_MOTO_%s_SECRET=%s" % (user.upper(), key, user.upper(), secret))
print("STRM_MOTO_ROLE=" + role["Role"]["Arn"])
