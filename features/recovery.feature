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
    And the SMSC gets every accepted message, at most 40 of them twice
    And the page is told of both levels for every accepted message

    Examples:
      | goes      |
      | stops     |
      | is killed |

  @redis @load
  Scenario: Redis is killed under load
    Given a Redis for this scenario alone
    And the setting [http-api] submit_timeout is "3"
    And the connector has:
      | window | 20 |
      | binds  | 2  |
    And a running gateway
    When 10 clients keep sending and ask for DLRs of level 3
    And 100 messages are accepted
    And Redis is killed
    Then a client is answered 503
    When Redis starts again
    And 100 more messages are accepted
    And the clients stop
    Then every answer was a Success or 503
    And the SMSC gets every accepted message, at most 40 of them twice
    And the page is told of both levels for every accepted message
