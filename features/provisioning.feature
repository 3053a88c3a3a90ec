@provisioning
Feature: Provisioning from a file

  Users, connectors and routes stand in a file that is applied as a whole, also while
  messages flow. What did not change is left alone.

  Scenario: A user's password changes
    Given a running gateway
    When the user "foo" with password "new"
    And the provisioning file is loaded again
    And a message is sent
    Then the answer is 403 Error "Authentication failure for username:foo"
    When a message is sent with:
      | password | new |
    Then the SMSC gets the message

  Scenario: A user is added and another removed
    Given a running gateway
    When the user "alice" with password "secret"
    And no user "foo"
    And the provisioning file is loaded again
    And a message is sent with:
      | username | alice  |
      | password | secret |
    Then the SMSC gets the message
    When a message is sent
    Then the answer is 403 Error "Authentication failure for username:foo"

  Scenario: A route is added
    Given a connector "main" to the SMSC "one"
    And a connector "france" to the SMSC "two"
    And everything is routed to "main"
    And a running gateway
    When a message is sent with:
      | to | 33612345678 |
    Then the SMSC "one" gets the message
    When numbers that begin with "33" are routed to "france"
    And the provisioning file is loaded again
    And a message is sent with:
      | to | 33612345678 |
    Then the SMSC "two" gets the message
    When a message is sent with:
      | to | 44790000000 |
    Then the SMSC "one" gets the message

  Scenario: A connector moves to another SMSC with what waits for it
    Given a connector "main" to the SMSC "one"
    And a connector "spare" to the SMSC "two"
    And the SMSC "one" is down
    And a running gateway
    When a message is sent
    Then it is accepted
    When the connector "main" goes to the SMSC "two"
    And the provisioning file is loaded again
    Then the SMSC "two" gets the message

  Scenario: A stopped connector keeps its messages until it is started
    Given the connector has:
      | started | no |
    And a running gateway
    When a message is sent
    Then it is accepted
    When the connector has:
      | started | yes |
    And the provisioning file is loaded again
    Then the SMSC gets the message

  Scenario: A change of one connector leaves the messages of another alone
    Given a connector "busy" to the SMSC "one"
    And a connector "other" to the SMSC "two"
    And the connector "busy" has:
      | window | 8 |
    And the SMSC "one" answers nothing
    And a running gateway
    When 4 clients send 2 messages each
    Then the SMSC "one" gets 8 messages
    When the connector "other" has:
      | window   | 3    |
      | password | wrong |
    And the user "alice" with password "secret"
    And numbers that begin with "33" are routed to "other"
    And the provisioning file is loaded again
    Then the SMSC "one" still has its 1 session with 8 unanswered messages

  @load
  Scenario: Changes while messages flow
    Given the connector has:
      | window | 10 |
    And a running gateway
    When 5 clients keep sending
    And 100 messages are accepted
    And the connector has:
      | window | 3 |
      | binds  | 3 |
    And the provisioning file is loaded again
    And 100 more messages are accepted
    And the connector has:
      | window   | 20   |
      | binds    | 1    |
      | systype  | SMPP |
    And the provisioning file is loaded again
    And 100 more messages are accepted
    And the clients stop
    Then every answer was a Success
    And the SMSC gets every accepted message once

  Scenario: A faulty file changes nothing
    Given a running gateway
    When a faulty line "nonsense: 1"
    And the user "alice" with password "secret"
    Then loading the provisioning file again fails, naming the line of "nonsense: 1"
    When a message is sent with:
      | username | alice  |
      | password | secret |
    Then the answer is 403 Error "Authentication failure for username:alice"
    When a message is sent
    Then the SMSC gets the message
