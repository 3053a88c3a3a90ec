@recovery
Feature: Outages of RabbitMQ and Redis

  While one of them is away, nothing is promised that cannot be kept: senders are told to
  try again later. When it is back, everything goes on by itself.

  @rabbit @load
  Scenario Outline: RabbitMQ <goes> under load
    Given a RabbitMQ for this scenario alone
    And the setting [http-api] submit_timeout is "3"
    And the connector has:
      | window | 20 |
      | binds  | 2  |
    And a running gateway
    When 10 clients keep sending and ask for DLRs of level 3
    And 100 messages are accepted
    And RabbitMQ <goes>
    Then a client is answered 503
    When RabbitMQ starts again
    And 100 more messages are accepted
    And the clients stop
    Then every answer was a Success or 503
    And every id was given once
    And the SMSC gets every accepted message once
    And the page is told of both levels for every accepted message

    Examples:
      | goes      |
      | stops     |
      | is killed |

  @rabbit
  Scenario: What is refused while RabbitMQ is away costs nothing and leaves nothing
    Given a RabbitMQ for this scenario alone
    And a message part costs 0.01
    And the user "foo" has:
      | quota balance | 1 |
    And a running gateway
    When RabbitMQ stops
    And 4 clients send 30 messages each and ask for DLRs
    Then every answer was 503
    And "foo" has a balance of 1.0 and an sms_count of "ND"
    And Redis holds nothing of the messages

  @redis @load
  Scenario Outline: Redis <goes> under load
    Given a Redis for this scenario alone
    And the setting [http-api] submit_timeout is "3"
    And the setting [redis-client] timeout is "2"
    And the connector has:
      | window | 20 |
      | binds  | 2  |
    And a running gateway
    When 10 clients keep sending and ask for DLRs of level 3
    And 100 messages are accepted
    And Redis <goes>
    Then a client is answered 503
    When Redis <comes back>
    And 100 more messages are accepted
    And the clients stop
    Then every answer was a Success or 503
    And the SMSC gets every accepted message, at most 40 of them twice
    And the page is told of both levels for every accepted message

    Examples:
      | goes      | comes back    |
      | is killed | starts again  |
      | hangs     | answers again |

  @redis @load
  Scenario: What is under way is carried out though Redis is full
    Given a Redis for this scenario alone
    And a running gateway
    When 10 clients keep sending and ask for DLRs of level 3
    And 100 messages are accepted
    And Redis is full
    Then a client is answered 503
    When the clients stop
    Then every answer was a Success or 503
    And the SMSC gets every accepted message once
    And the page is told of both levels for every accepted message
