@billing
Feature: Billing

  A user with a balance pays for each part of a message on a rated route. He is told at
  once when he lacks credit, and pays for nothing twice, whatever happens in between.

  Scenario: A message through a rated route
    Given a message part costs 1.2
    And the user "foo" has:
      | quota balance | 10 |
    And a running gateway
    When a message is sent
    Then it is accepted
    And "foo" has a balance of 8.8 and an sms_count of "ND"

  Scenario: A user without quotas pays nothing
    Given a message part costs 1.2
    And a running gateway
    When a message is sent
    Then it is accepted
    And "foo" has a balance of "ND" and an sms_count of "ND"
    When the request "/rate?username=foo&password=bar&to=06222172" is made
    Then the answer is 200 {"unit_rate": 0.0, "submit_sm_count": 1}

  Scenario: The price of a message is told before it is sent
    Given a message part costs 2.8
    And the user "foo" has:
      | quota balance | 100 |
    And a running gateway
    When the request "/rate?username=foo&password=bar&to=06222172" is made
    Then the answer is 200 {"unit_rate": 2.8, "submit_sm_count": 1}
    And "foo" has a balance of 100.0 and an sms_count of "ND"

  Scenario: sms_count is counted down on every route
    Given the user "foo" has:
      | quota sms_count | 3 |
    And a running gateway
    When 1 clients send 4 messages each
    Then 3 messages were accepted and 1 refused for lack of credit
    And "foo" has a balance of "ND" and an sms_count of 0

  Scenario: Part of the price at once, the rest when the SMSC has answered
    Given a message part costs 1.2
    And the user "foo" has:
      | quota balance       | 10 |
      | quota early_percent | 25 |
    And the SMSC is down
    And a running gateway
    When a message is sent
    Then it is accepted
    And "foo" has a balance of 9.7 and an sms_count of "ND"
    When the SMSC comes up
    Then the SMSC gets the message
    And "foo" has a balance of 8.8 and an sms_count of "ND"

  Scenario: Fifty clients share a balance
    Given a message part costs 0.35
    And the user "foo" has:
      | quota balance | 100.00 |
    And a running gateway
    When 50 clients send 6 messages each
    Then 285 messages were accepted and 15 refused for lack of credit
    And "foo" has a balance of 0.25 and an sms_count of "ND"

  @process @load
  Scenario Outline: It is killed in the middle of a load, charging <when>
    Given a message part costs 1
    And the user "foo" has:
      | quota balance       | 1000000   |
      | quota early_percent | <percent> |
    And the SMSC takes 5 to 30 milliseconds for an answer
    And the connector has:
      | window | 10 |
      | binds  | 2  |
    And a running gateway
    When 10 clients keep sending
    And 300 messages are accepted
    And the gateway is killed
    And the clients stop
    And the gateway starts again
    Then the SMSC gets every accepted message, at most 20 of them twice
    And in the end the balance of "foo" is 1000000 less 1 for each message at the SMSC

    Examples:
      | when                  | percent |
      | at acceptance         | 100     |
      | half at each occasion | 50      |

  @process @load
  Scenario Outline: It is killed again and again at random moments, charging <when>
    Given a message part costs 0.35
    And the user "foo" has:
      | quota balance       | 1000000   |
      | quota early_percent | <percent> |
    And the SMSC takes 1 to 20 milliseconds for an answer
    And the connector has:
      | window | 10 |
      | binds  | 2  |
    And the HTTP API keeps its port
    And a running gateway
    When 8 clients keep sending
    And the gateway is killed 5 times at random moments, and started again
    And the clients stop
    Then the SMSC gets every accepted message, at most 100 of them twice
    And in the end the balance of "foo" is 1000000 less 0.35 for each message at the SMSC

    Examples:
      | when                              | percent |
      | at acceptance                     | 100     |
      | a third first, which is not exact | 33.3333 |
