"""Leads what the documentation's scripts reach for to the test that runs them."""
import logging
import os
import socket

_connect, _handler = socket.create_connection, logging.FileHandler


def create_connection(address, *args, **kwargs):
    if address == ('172.20.20.140', 3422):
        host, port = os.environ['STANDIN_CGRATES'].split(':')
        address = host, int(port)
    return _connect(address, *args, **kwargs)


class FileHandler(_handler):
    def __init__(self, filename, *args, **kwargs):
        if filename == '/var/log/jasmin/some_file.log':
            filename = os.environ['STANDIN_LOG']
        super().__init__(filename, *args, **kwargs)


socket.create_connection = create_connection
logging.FileHandler = FileHandler
