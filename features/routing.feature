@routing
Feature: Routes of MT messages

  Which connector a message takes, and where it goes when an SMSC refuses it.

  Scenario: A refused message moves to the next connector of its route
    Given a connector "first" to the SMSC "one"
    And a connector "second" to the SMSC "two"
    And messages go to "first" and, on ESME_RSYSERR, to "second"
    And the SMSC "one" answers ESME_RSYSERR to the next 1 message
    And a running gateway
    When a message is sent
    Then it is accepted
    And the SMSC "two" gets the message

  Scenario: A message goes to the cheapest connector
    Given a connector "dear" to the SMSC "one"
    And a connector "cheap" to the SMSC "two"
    And messages go to the cheapest of "dear" at 0.5 and "cheap" at 0.2
    And a running gateway
    When a message is sent
    Then it is accepted
    And the SMSC "two" gets the message
