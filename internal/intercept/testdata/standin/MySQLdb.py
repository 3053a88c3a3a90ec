"""As much of MySQLdb as the blacklist script uses, on a table that is a file of numbers."""
import os


class Error(Exception):
    pass


class Cursor:
    def execute(self, statement):
        with open(os.environ['STANDIN_MYSQL'], 'a') as asked:
            asked.write(statement + '\n')

    def fetchone(self):
        return (0,)


class Connection:
    def cursor(self):
        return Cursor()


def connect(host, user, password, database):
    return Connection()
